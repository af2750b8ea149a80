import csv
import importlib.util
import pathlib

import keras
import pytest

import keras_deepfake as kd

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "tune_detector.py"
TINY = "--image-size 32 --max-filters 8 --epochs 1 --pretraining-epochs 1 --max-trials 2".split()


@pytest.fixture
def script(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    specification = importlib.util.spec_from_file_location("tune_detector", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "NUM_SYNTHETIC_FACES", 40)
    return module


def test_search_ends_with_a_table_a_picture_and_a_comparison(script, capsys):
    script.main(TINY)
    printed = capsys.readouterr().out
    assert "2 trials: 2 completed" in printed
    assert "study  AUC" in printed
    assert "95 % interval" in printed
    with open("search/results.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    assert pathlib.Path("search/search.png").stat().st_size > 1000
    assert isinstance(keras.saving.load_model("search/best.keras"), kd.EncoderClassifier)
    with pytest.raises(SystemExit, match="other options"):
        script.main([*TINY, "--seed", "1"])


def test_workers_run_the_script_with_the_same_options(script, monkeypatch):
    seen = []

    def stand_in(tuner, num_workers, command):
        seen.append((num_workers, command))
        # What each of the processes does.
        monkeypatch.setattr(kd.hypermodels, "search", lambda *args, **kwargs: None)
        script.main(command[2:])

    monkeypatch.setattr(kd.hypermodels, "run_local_workers", stand_in)
    script.main([*TINY, "--workers", "3"])
    ((num_workers, command),) = seen
    assert num_workers == 3
    assert command[1:] == [str(SCRIPT), *TINY, "--workers", "3", "--workers", "0"]
    assert not pathlib.Path("search/results.csv").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "nowhere"], "no folder 'nowhere'"),
        (["--max-trials", "0"], "--max-trials"),
        (["--workers", "-1"], "--workers"),
        (["--autoencoder", "nothing.keras"], "no file 'nothing.keras'"),
        (["--image-size", "30"], "divisible by 8"),
    ],
)
def test_mistakes_are_one_message(script, options, message):
    with pytest.raises(SystemExit, match=message):
        script.main([*TINY, *options])
    assert not pathlib.Path("search").exists()
