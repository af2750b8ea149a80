import pathlib
import sys

import keras_tuner
import pytest

import keras_deepfake as kd

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = f"""
import os, pathlib, signal, sys
sys.path.insert(0, {str(ROOT)!r})
import keras, keras_tuner, numpy as np
import keras_deepfake as kd

class DieOnce(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        mark = pathlib.Path("died")
        if os.environ["KERASTUNER_TUNER_ID"] == "worker1" and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

images = np.random.default_rng(0).random((4, 8, 8, 3)).astype("float32")
hypermodel = kd.hypermodels.HyperConvAutoencoder((8, 8, 3), depth=1, filters=(2, 32, 1))
tuner = keras_tuner.RandomSearch(
    hypermodel, keras_tuner.Objective("val_loss", "min"), max_trials=6, seed=1,
    directory=".", project_name="trials",
)
kd.hypermodels.search(
    tuner, images, images, validation_data=(images, images), epochs=2, callbacks=[DieOnce()]
)
"""


def test_a_killed_worker_is_started_again_and_its_trial_is_not_lost(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("tune.py").write_text(SCRIPT)
    kd.hypermodels.run_local_workers([sys.executable, "tune.py"], 2, "trials")
    printed = capsys.readouterr().out
    assert printed.count("worker1 died; starting it again") == 1
    assert "worker0 died" not in printed
    assert "6 trials: 6 completed" in printed.splitlines()[-1]

    tuner = keras_tuner.RandomSearch(
        kd.hypermodels.HyperConvAutoencoder((8, 8, 3), depth=1, filters=(2, 32, 1)),
        keras_tuner.Objective("val_loss", "min"),
        max_trials=6,
        seed=1,
        project_name="trials",
    )
    tuner.oracle.reload()
    results = kd.hypermodels.SearchResults(tuner)
    assert [row["state"] for row in results.rows] == ["COMPLETED"] * 6
    assert len({row["seed"] for row in results.rows}) == 6
    tuner.get_best_models()


def test_a_worker_that_cannot_run_ends_the_search(tmp_path):
    with pytest.raises(RuntimeError, match="out of chalk"):
        kd.hypermodels.run_local_workers(
            [sys.executable, "-c", "raise SystemExit('out of chalk')"], 1, tmp_path
        )
