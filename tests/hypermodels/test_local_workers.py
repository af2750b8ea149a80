import os
import pathlib
import signal
import subprocess
import sys
import time

import keras_tuner
import pytest

import keras_deepfake as kd

ROOT = pathlib.Path(__file__).parents[2]
# Trials that last long enough for both workers to get some, the second of which kills worker1.
TUNE = f"""
import os, pathlib, signal, sys, time
sys.path.insert(0, {str(ROOT)!r})
import keras, keras_tuner, numpy as np
import keras_deepfake as kd

class Formula(kd.hypermodels.HyperConvAutoencoder):
    def build_model(self, settings):
        model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Activation("linear")])
        model.compile("sgd", "mse")
        return model

    def fit_model(self, settings, model, arguments):
        with open("ran", "a") as file:
            file.write(f"{{os.environ['KERASTUNER_TUNER_ID']}} {{settings['filters_0']}}\\n")
        time.sleep(0.5)
        if os.environ["KERASTUNER_TUNER_ID"] == "worker1" and not os.path.exists("died"):
            pathlib.Path("died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {{"val_loss": abs(settings["filters_0"] - 6.0)}}

tuner = keras_tuner.RandomSearch(
    Formula((8, 8, 3), depth=1, filters=(2, 32, 1)),
    keras_tuner.Objective("val_loss", "min"),
    max_trials=12, seed=1, project_name="trials",
)
images = np.zeros((4, 8, 8, 3), "float32")
results = kd.hypermodels.search(tuner, images, images, validation_data=(images, images))
assert results is None
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("tune.py").write_text(TUNE)
    return tmp_path


def make_tuner(max_trials):
    return keras_tuner.RandomSearch(
        kd.hypermodels.HyperConvAutoencoder((8, 8, 3), depth=1, filters=(2, 32, 1)),
        keras_tuner.Objective("val_loss", "min"),
        max_trials=max_trials,
        seed=1,
        project_name="trials",
    )


def test_a_dead_worker_is_started_again_and_its_trial_is_not_lost(folder, capsys):
    results = kd.hypermodels.run_local_workers(make_tuner(12), 2, [sys.executable, "tune.py"])
    printed = capsys.readouterr().out
    assert printed.count("worker1 died; starting it again") == 1
    assert "worker0 died" not in printed
    assert "12 completed" in printed
    assert [row["state"] for row in results.rows] == ["COMPLETED"] * 12
    assert len({row["seed"] for row in results.rows}) == 12
    ran = [line.split() for line in pathlib.Path("ran").read_text().splitlines()]
    # Every trial once, but that of the dead worker, which it got again.
    assert len(ran) == 13
    own = [filters for worker, filters in ran if worker == "worker1"]
    assert own[0] == own[1]


def test_workers_end_when_their_launcher_was_killed(folder):
    launcher = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import keras_deepfake as kd
import keras_tuner

tuner = keras_tuner.RandomSearch(
    kd.hypermodels.HyperConvAutoencoder((8, 8, 3), depth=1, filters=(2, 32, 1)),
    keras_tuner.Objective("val_loss", "min"),
    max_trials=2,
    project_name="trials",
)
kd.hypermodels.run_local_workers(tuner, 1, [sys.executable, "tune.py"])
"""
    # It waits in `search` for a chief that never listens.
    script = pathlib.Path("tune.py")
    script.write_text(
        "import os\n"
        "open(str(os.getpid()), 'w').close()\n"
        "if os.environ['KERASTUNER_TUNER_ID'] == 'chief':\n"
        "    import sys; sys.stdin.read(); sys.exit(1)\n" + script.read_text()
    )
    process = subprocess.Popen([sys.executable, "-c", launcher])
    try:
        started = wait_for(lambda: [n for n in os.listdir() if n.isdigit()], 2)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
    for number in started:
        wait_for(lambda number=number: [] if is_running(int(number)) else [number], 1)


def is_running(process):
    try:
        state = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_for(find, count, seconds=120):
    deadline = time.monotonic() + seconds
    while len(found := find()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def test_a_worker_that_cannot_run_ends_the_search(folder):
    with pytest.raises(RuntimeError, match="out of chalk"):
        kd.hypermodels.run_local_workers(
            make_tuner(2), 1, [sys.executable, "-c", "raise SystemExit('out of chalk')"]
        )


def test_mistakes_are_refused(folder, monkeypatch):
    with pytest.raises(ValueError, match="`num_workers`"):
        kd.hypermodels.run_local_workers(make_tuner(2), 0, [])
    with pytest.raises(ValueError, match="`tuner`"):
        kd.hypermodels.run_local_workers("trials", 1, [])
    with pytest.raises(ValueError, match="`command`"):
        kd.hypermodels.run_local_workers(make_tuner(2), 1, "python tune.py")
    monkeypatch.setenv("KERAS_DEEPFAKE_LAUNCHED", "1")
    with pytest.raises(RuntimeError, match="must not call it again"):
        kd.hypermodels.run_local_workers(make_tuner(2), 1, [])
