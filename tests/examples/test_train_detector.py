import csv
import importlib.util
import json
import pathlib

import keras
import numpy as np
import pytest

import keras_deepfake as kd

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "train_detector.py"
TINY = "--image-size 32 --filters 4 4 --epochs-autoencoder 2 --epochs-classifier 2".split()


@pytest.fixture
def script(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    specification = importlib.util.spec_from_file_location("train_detector", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "NUM_SYNTHETIC_FACES", 80)
    return module


def weights(path):
    return keras.saving.load_model(path).get_weights()


def test_everything_is_left_in_the_folder(script, capsys):
    script.main([*TINY, "--output", "one"])
    printed = capsys.readouterr().out
    assert "one" in printed.splitlines()[-1]
    names = {path.name for path in pathlib.Path("one").iterdir()}
    expected = (
        "autoencoder.keras encoder.keras detector.keras metrics.json history.csv summary.txt "
        "predictions.csv report.html data.png input_target.png autoencoder_curves.png "
        "reconstructions.png classifier_curves.png predictions.png explanations.png"
    )
    assert set(expected.split()) <= names
    assert not list(pathlib.Path().glob("*.unfinished*"))
    assert not list(pathlib.Path("one").glob("*.resume"))

    metrics = json.loads(pathlib.Path("one/metrics.json").read_text())
    assert metrics["images"]["classifier"] == {"train": 60, "validation": 8, "test": 12}
    assert 0 <= metrics["report"]["metrics"]["auc"] <= 1
    with open("one/predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "fake", "real", "verdict"]
    assert len(rows) == 12
    detector = keras.saving.load_model("one/detector.keras")
    image = kd.datasets.load_image(rows[0]["path"], (32, 32))
    probability = detector.predict(image[None], verbose=0)[0, 0]
    assert float(rows[0]["fake"]) == pytest.approx(probability, abs=1e-4)
    with open("one/history.csv", newline="") as file:
        stages = [(row["stage"], row["epoch"]) for row in csv.DictReader(file)]
    assert stages == [(stage, epoch) for stage in ("autoencoder", "classifier") for epoch in "12"]

    with pytest.raises(SystemExit, match="is there already"):
        script.main([*TINY, "--output", "one"])


def test_interrupted_training_goes_on_and_ends_the_same(script, monkeypatch):
    script.main([*TINY, "--output", "whole"])

    def interrupted_fit(self, *args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(kd.models.EncoderClassifier, "fit", interrupted_fit)
        with pytest.raises(KeyboardInterrupt):
            script.main([*TINY, "--output", "parts"])
    assert not pathlib.Path("parts").exists()
    with pytest.raises(SystemExit, match="unfinished run with other options"):
        script.main([*TINY, "--output", "parts", "--seed", "1"])
    script.main([*TINY, "--output", "parts"])
    for name in ("autoencoder.keras", "detector.keras"):
        for one, two in zip(weights(f"whole/{name}"), weights(f"parts/{name}"), strict=True):
            np.testing.assert_array_equal(one, two)


def make_folder(labels=("fake", "real"), people=6):
    random = np.random.default_rng(0)
    for label in labels:
        pathlib.Path("data", label).mkdir(parents=True)
        for person in range(people):
            for shot in range(3):
                keras.utils.save_img(
                    f"data/{label}/p{person}_{shot}.png", random.random((32, 32, 3)) * 255
                )


def test_groups_and_switches(script):
    make_folder()
    script.main(
        [*TINY, "--data", "data", "--group-pattern", r"p\d+", "--split", "0.5", "0.25", "0.25"]
        + ["--activation", "sigmoid", "--corruption", "masking", "--l1", "0", "--l2", "0.01"]
        + ["--pretraining", "stacked", "--output", "two"]
    )
    metrics = json.loads(pathlib.Path("two/metrics.json").read_text())
    assert metrics["report"]["num_groups"] < metrics["report"]["num_images"]
    autoencoder = keras.saving.load_model("two/autoencoder.keras")
    assert isinstance(autoencoder.corruption, kd.layers.MaskingNoise)
    detector = keras.saving.load_model("two/detector.keras")
    assert (detector.activation, detector.l1, detector.l2) == ("sigmoid", 0.0, 0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "nowhere"], "no folder 'nowhere'"),
        (["--image-size", "34"], "divisible by 4"),
        (["--epochs-classifier", "0"], "--epochs-classifier"),
        (["--data", "data", "--group-pattern", "x"], "matches nothing"),
        (["--data", "data", "--group-pattern", "("], "unterminated subpattern"),
        (["--data", "data", "--pretraining-data", "data"], "also lie in --pretraining-data"),
        (["--data", "data", "--split", "0.5", "0.1", "0.1"], "sum"),
    ],
)
def test_mistakes_are_one_message_and_leave_nothing_behind(script, options, message):
    make_folder()
    with pytest.raises(SystemExit, match=message) as error:
        script.main([*TINY, *options])
    assert isinstance(error.value.code, str)
    assert not list(pathlib.Path().glob("results*"))


def test_too_few_groups_are_refused(script):
    make_folder()
    for path in pathlib.Path("data/real").iterdir():
        path.rename(path.with_name(f"source{path.name[1:]}"))
    with pytest.raises(SystemExit, match="part has one class only"):
        script.main([*TINY, "--data", "data", "--group-pattern", r"p\d|source"])


def test_seed_preset_is_the_study(script):
    options = script.parse_arguments(["--preset", "seed"])
    assert options.image_size == 256
    assert options.filters == (168, 64, 32)
    assert (options.l1, options.l2) == (0.01, 0.1)
    assert (options.subset, options.split) == (0.3, (0.8, 0.1, 0.1))
    assert options.split_autoencoder == (0.7, 0.15, 0.15)
    assert (options.epochs_autoencoder, options.epochs_classifier) == (10, 20)
    assert (options.batch_size_autoencoder, options.batch_size_classifier) == (64, 128)
    assert script.parse_arguments(["--preset", "seed", "--l1", "0"]).l1 == 0
