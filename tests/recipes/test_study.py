import contextlib
import csv
import io
import json
import pathlib
import warnings

import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake.recipes import StudySettings, _synthetic_data, train_study
from keras_deepfake.recipes import study as study_module
from keras_deepfake.recipes._devices import all_devices

TINY = StudySettings.preset(
    "small", image_size=32, filters=(4, 4), epochs_autoencoder=2, epochs_classifier=2
)


@pytest.fixture(autouse=True)
def few_faces(tmp_path, monkeypatch):
    prepare(tmp_path, monkeypatch)


def prepare(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(_synthetic_data, "NUM_FACES", 80)


def train(output, index=None, settings=TINY, **arguments):
    return train_study(index, output, settings, **{"verbose": 0, **arguments})


def interrupted(*args, **kwargs):
    raise KeyboardInterrupt


def weights(path):
    return keras.saving.load_model(path).get_weights()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The folder of a finished run, what it returned and what it printed."""
    folder, printed = tmp_path_factory.mktemp("uninterrupted"), io.StringIO()
    with pytest.MonkeyPatch.context() as monkeypatch, contextlib.redirect_stdout(printed):
        prepare(folder, monkeypatch)
        study = train("one")
    return folder, study, printed.getvalue()


def test_everything_is_left_in_the_folder(uninterrupted, monkeypatch):
    folder, study, printed = uninterrupted
    monkeypatch.chdir(folder)
    assert printed == ""
    names = {path.name for path in pathlib.Path("one").iterdir()}
    expected = (
        "autoencoder.keras encoder.keras detector.keras metrics.json history.csv summary.txt "
        "predictions.csv report.html data.png input_target.png autoencoder_curves.png "
        "reconstructions.png classifier_curves.png predictions.png explanations.png settings.json"
    )
    assert set(expected.split()) <= names
    assert {path.name for path in pathlib.Path().iterdir()} == {"one", "synthetic-faces-32px-seed0"}

    metrics = json.loads(pathlib.Path("one/metrics.json").read_text())
    assert metrics["images"]["classifier"] == {"train": 60, "validation": 8, "test": 12}
    assert metrics["report"]["metrics"]["auc"] == study.report.metrics["auc"]
    with open("one/predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:4] == ["path", "fake", "real", "verdict"]
    assert len(rows) == len(study.predictions) == 12
    detector = keras.saving.load_model("one/detector.keras")
    assert isinstance(detector, kd.Detector)
    assert detector.validation_digests
    assert study.report.threshold == detector.threshold == study.detector.threshold
    image = kd.datasets.load_image(rows[0]["path"], (32, 32))
    probability = detector.predict(image[None], verbose=0)[0, 0]
    assert float(rows[0]["fake"]) == pytest.approx(probability, abs=1e-4)
    with open("one/history.csv", newline="") as file:
        stages = [(row["stage"], row["epoch"]) for row in csv.DictReader(file)]
    assert stages == [(stage, epoch) for stage in ("autoencoder", "classifier") for epoch in "12"]
    page = pathlib.Path("one/report.html").read_text()
    assert "The faces are synthetic" in page
    assert "Explanations" in page

    with pytest.raises(ValueError, match="`output`='one' is there already"):
        train("one")


@pytest.mark.usefixtures("pages_without_pictures")
def test_interrupted_training_goes_on_and_ends_the_same(uninterrupted, monkeypatch):
    whole = uninterrupted[0] / "one"
    with monkeypatch.context() as patch:
        patch.setattr(kd.models.EncoderClassifier, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train("parts")
    assert not pathlib.Path("parts").exists()
    with pytest.raises(ValueError, match="unfinished run that differs in `index`, `seed`"):
        train("parts", seed=1)
    with monkeypatch.context() as patch:
        patch.setattr(keras.backend, "backend", lambda: "another")
        with pytest.raises(ValueError, match="unfinished run that differs in `backend`"):
            train("parts")
    train("parts")
    for name in ("autoencoder.keras", "detector.keras"):
        for one, two in zip(weights(whole / name), weights(f"parts/{name}"), strict=True):
            np.testing.assert_array_equal(one, two)


def make_folder(names=("fake", "real"), file_name="p{}_{}.png"):
    random = np.random.default_rng(0)
    for name in names:
        pathlib.Path("data", name).mkdir(parents=True)
        for person in range(6):
            for shot in range(3):
                path = f"data/{name}/{file_name.format(person, shot)}"
                pixels = random.uniform(0, 255, (32, 32, 3))
                keras.utils.save_img(path, pixels, file_format="png", scale=False)


def test_groups_odd_names_warnings_and_other_settings(monkeypatch):
    make_folder(("0_photo", "1_render"), "p{}_{}_\udcff.png")
    index = kd.datasets.ImageIndex.from_directory(
        "data", ("0_photo", "1_render"), groups=lambda path: path.split("/")[-1][:2]
    )
    distributed = []

    def noted_devices():
        devices = all_devices()
        distributed.append(devices.count)
        return devices

    def calibrate_without_signal(classifier, validation, fake_class):
        warnings.warn("These probabilities are guesses.", UserWarning, stacklevel=1)
        return kd.models.as_detector(classifier, fake_class=fake_class)

    monkeypatch.setattr(study_module, "all_devices", noted_devices)
    monkeypatch.setattr(study_module, "calibrate", calibrate_without_signal)
    settings = StudySettings.preset(
        "small",
        image_size=32,
        filters=(4, 4),
        epochs_autoencoder=1,
        epochs_classifier=1,
        split=(0.5, 0.25, 0.25),
        activation="sigmoid",
        corruption="masking",
        pretraining="stacked",
    )
    with pytest.raises(ValueError, match="`fake_class="):
        train("two", index, settings)
    study = train("two", index, settings, fake_class="1_render", unlabelled=index, distribute=True)
    assert distributed == [1]
    assert "\udcff" in study.predictions[0].path
    assert b"_\xff.png" in pathlib.Path("two/predictions.csv").read_bytes()
    assert study.detector.fake_index == 1
    assert study.report.num_groups < study.report.num_images
    assert set(study.histories) == {"block_0", "block_1", "classifier"}
    assert isinstance(study.autoencoder.corruption, kd.layers.MaskingNoise)
    metrics = json.loads(pathlib.Path("two/metrics.json").read_text())
    # Of `unlabelled`, which is the same folder, the persons of the test part are left out.
    assert metrics["num_left_out"] >= study.report.num_images
    assert sum(metrics["images"]["autoencoder"].values()) == 36 - metrics["num_left_out"]
    page = pathlib.Path("two/report.html").read_text()
    assert "were left out" in page
    assert "These probabilities are guesses." in page

    monkeypatch.setattr(study_module, "train_autoencoder", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train("three", index, settings, fake_class="1_render")
    with pytest.raises(ValueError, match="differs in `fake_class`"):
        train("three", index, settings, fake_class="0_photo")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"settings": StudySettings.preset("small", image_size=34)}, "divisible by"),
        ({"settings": "large"}, "`settings` must be one of 'seed', 'small'"),
        ({"index": "data"}, "`index` must be an `ImageIndex`"),
        ({"unlabelled": ["data"]}, "`unlabelled` must be an `ImageIndex`"),
        ({"fake_class": "forged"}, "`fake_class` must be one of"),
        ({"seed": -1}, "`seed` must be"),
        ({"overwrite": "yes"}, "`overwrite` must be"),
        ({"verbose": 3}, "`verbose` must be"),
    ],
)
def test_mistakes_leave_nothing_behind(arguments, message):
    with pytest.raises(ValueError, match=message):
        train("one", **arguments)
    assert not list(pathlib.Path().iterdir())


def test_folder_that_cannot_be_written_to(monkeypatch):
    pathlib.Path("file").write_text("")
    with pytest.raises(OSError, match="file"):
        train("file/one")
