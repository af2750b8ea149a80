import csv
import os

import keras
import numpy as np
import pytest
from PIL import Image

import keras_deepfake as kd

ROW = ("path", "probabilities", "verdict", "error")


def red_detector(columns=2, size=(8, 8), activation="softmax", data_format="channels_last"):
    """Says fake where the mean of red is high: 0.5 exactly at a mean of one half."""
    shape = (*size, 3) if data_format == "channels_last" else (3, *size)
    inputs = keras.Input(shape)
    x = keras.layers.GlobalAveragePooling2D(data_format=data_format)(inputs)
    head = keras.layers.Dense(columns, activation=activation)
    model = keras.Model(inputs, head(x))
    model.class_names = ("fake", "real")
    kernel = np.zeros((3, columns), "float32")
    kernel[0, 0] = 10.0
    bias = np.zeros(columns, "float32")
    bias[0] = -5.0
    head.set_weights([kernel, bias])
    return model


def red(value, size=(8, 8)):
    image = np.zeros((*size, 3), "uint8")
    image[..., 0] = value
    return image


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "faces" / "deep" / "er").mkdir(parents=True)
    Image.fromarray(red(255, (20, 30))).save(tmp_path / "faces" / "b.png")
    Image.fromarray(red(0)).save(tmp_path / "faces" / "deep" / "er" / "a.PNG")
    (tmp_path / "faces" / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    (tmp_path / "faces" / "empty.png").write_bytes(b"")
    (tmp_path / "faces" / "notes.txt").write_text("who is who")
    (tmp_path / "faces" / ".hidden.png").write_bytes(b"")
    return tmp_path / "faces"


def test_folder_is_searched_and_what_cannot_be_read_is_a_row(folder):
    predictions = kd.evaluation.predict_images(red_detector(), folder, batch_size=1)
    names = [os.path.relpath(row.path, folder) for row in predictions]
    assert names == ["b.png", "broken.jpg", "deep/er/a.PNG", "empty.png", "notes.txt"]
    assert [row.verdict for row in predictions] == ["fake", None, "real", None, None]
    np.testing.assert_allclose(predictions[0].probabilities, [0.9933, 0.0067], atol=1e-4)
    assert [row.probabilities is None for row in predictions] == [False, True, False, True, True]
    assert predictions[3].error == "zero bytes"
    assert predictions[4].error == "unknown extension '.txt'"
    assert predictions[0].error is None
    assert predictions[0]._fields == ROW


def test_mixture_keeps_its_order(folder):
    images = [
        red(255),
        str(folder / "b.png"),
        folder / "missing.png",
        np.stack([red(0) / 255.0, red(255) / 255.0]),
        [folder / "deep"],
    ]
    predictions = kd.evaluation.predict_images(red_detector(), images, batch_size=3)
    assert [row.path for row in predictions] == [
        "images[0]",
        str(folder / "b.png"),
        str(folder / "missing.png"),
        "images[3][0]",
        "images[3][1]",
        str(folder / "deep" / "er" / "a.PNG"),
    ]
    verdicts = ["fake", "fake", None, "real", "fake", "real"]
    assert [row.verdict for row in predictions] == verdicts
    assert "No such file" in predictions[2].error
    assert len(predictions[1:3]) == 2
    assert predictions[1:3].class_names == ("fake", "real")


def test_arrays_and_files_give_the_same_numbers(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (21, 13, 3), "uint8")
    Image.fromarray(image).save(tmp_path / "image.png")
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Dense(2, "softmax")(keras.layers.Flatten()(inputs)))
    model.class_names = ("fake", "real")
    images = [tmp_path / "image.png", image, (image / 255).astype("float32"), image / 255]
    rows = kd.evaluation.predict_images(model, images)
    expected = model.predict_on_batch(kd.datasets.load_image(images[0], (8, 8))[None])[0]
    for row in rows:
        np.testing.assert_allclose(row.probabilities, expected, atol=1e-6)


def test_threshold():
    model = red_detector()
    images = np.stack([red(127), red(128), red(200)])  # probabilities .49, .51, .95
    verdicts = lambda **arguments: [  # noqa: E731
        row.verdict for row in kd.evaluation.predict_images(model, images, **arguments)
    ]
    assert verdicts() == ["real", "fake", "fake"]
    assert verdicts(threshold=0.6) == ["real", "real", "fake"]
    model = kd.models.Detector(model, threshold=0.96)
    assert verdicts() == ["real", "real", "real"]
    assert verdicts(threshold=0.0) == ["fake", "fake", "fake"]
    assert kd.evaluation.predict_images(model, images).threshold == 0.96


def test_a_detector_that_abstains():
    images = np.stack([red(100), red(128), red(200)])  # probabilities .25, .51, .95
    bounds = (0.3, 0.9)
    detector = kd.models.Detector(red_detector(), threshold=0.6, conformal_bounds=bounds)
    predictions = kd.evaluation.predict_images(detector, images)
    assert [row.verdict for row in predictions] == ["real", "unsure", "fake"]
    assert predictions.summary() == (
        "3 images: 1 fake, 1 real, 1 unsure; unsure at probabilities of being fake from 0.3 to 0.9."
    )
    assert predictions[1:].conformal_bounds == bounds
    assert predictions.figures()["conformal_bounds"] == bounds
    stated = kd.evaluation.predict_images(detector, images, threshold=0.6)
    assert [row.verdict for row in stated] == ["real", "real", "fake"]
    assert stated.conformal_bounds is None
    assert stated.summary().endswith("called fake from a probability of 0.6 on.")


@pytest.mark.parametrize("class_names", [("fake", "real"), ("real", "fake")])
def test_one_sigmoid_column_is_the_probability_of_the_second_class(class_names):
    model = red_detector(columns=1, activation="sigmoid")
    del model.class_names
    (row,) = kd.evaluation.predict_images(model, red(200), class_names=class_names)
    np.testing.assert_allclose(row.probabilities, [1 - 0.9451, 0.9451], atol=1e-3)
    assert row.verdict == class_names[1]


def test_a_plain_model_must_be_told_its_classes(folder):
    model = red_detector()
    del model.class_names
    with pytest.raises(ValueError, match="Nothing says which class each column"):
        kd.evaluation.predict_images(model, red(255))
    predictions = kd.evaluation.predict_images(model, red(255), class_names=("FAKE", "REAL"))
    assert predictions[0].verdict == "FAKE"
    with pytest.raises(ValueError, match="`fake_class='photo'`"):
        kd.evaluation.predict_images(model, red(255), class_names=("photo", "graphics"))
    predictions = kd.evaluation.predict_images(
        model, red(255), class_names=("photo", "graphics"), fake_class="graphics"
    )
    assert predictions[0].verdict == "photo"


def test_everything_that_holds_images(folder):
    """Generators, arrays of paths, indexes and datasets give the rows of the paths."""
    model = red_detector()
    paths = [folder / "b.png", folder / "deep" / "er" / "a.PNG"]
    expected = [row[:1] + row[2:] for row in kd.evaluation.predict_images(model, paths)]
    index = kd.datasets.ImageIndex.from_directory(folder / "deep", class_names=None)
    for images in (
        iter(paths),
        np.array(list(map(str, paths))),
        np.array(list(map(str, paths)), object),
        (path for path in paths),
    ):
        rows = [row[:1] + row[2:] for row in kd.evaluation.predict_images(model, images)]
        assert rows == expected
    assert kd.evaluation.predict_images(model, index)[0].verdict == "real"
    dataset = kd.datasets.reconstruction_dataset(index, (8, 8))
    assert kd.evaluation.predict_images(model, dataset)[0].verdict == "real"


def test_model_that_takes_any_size_and_channels_first():
    images = [red(255), red(0, (5, 4)), red(255, (5, 4)), red(0)]
    for data_format in ("channels_last", "channels_first"):
        model = red_detector(size=(None, None), data_format=data_format)
        predictions = kd.evaluation.predict_images(model, images)
        assert [row.verdict for row in predictions] == ["fake", "real", "fake", "real"]


def test_table_and_csv(folder, tmp_path):
    predictions = kd.evaluation.predict_images(red_detector(), folder)
    lines = str(predictions).splitlines()
    assert lines[0].split() == ["path", "fake", "real", "verdict", "error"]
    assert lines[1].split() == [str(folder / "b.png"), "0.993", "0.007", "fake"]
    assert lines[4].endswith("zero bytes")

    predictions.to_csv(tmp_path / "predictions.csv")
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "fake", "real", "verdict", "error"]
    assert [row["verdict"] for row in rows] == ["fake", "", "real", "", ""]
    assert float(rows[0]["fake"]) == pytest.approx(predictions[0].probabilities[0], abs=1e-6)
    assert rows[3] == {
        "path": str(folder / "empty.png"),
        "fake": "",
        "real": "",
        "verdict": "",
        "error": "zero bytes",
    }
    assert not list(tmp_path.glob("*.tmp"))


def test_file_name_that_is_no_text(tmp_path):
    path = os.fsdecode(b"caf\xe9, \xff.png")
    row = kd.evaluation.Prediction(path, np.array([0.25, 0.75]), "real", None)
    predictions = kd.evaluation.Predictions([row], ("fake", "real"), 0.5)
    str(predictions).encode()
    predictions.to_csv(tmp_path / "predictions.csv")
    assert b'"caf\xe9, \xff.png",0.25' in (tmp_path / "predictions.csv").read_bytes()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((8, 8, 3), "int32"), r"`images` must be uint8 .* got dtype int32"),
        (np.zeros((8, 8, 3), "bool"), "dtype bool"),
        (np.full((8, 8, 3), 255.0), "values from 0 to 255"),
        ([red(0), np.full((8, 8, 3), -0.1)], r"`images\[1\]` .* values from -0.1 to 0"),
        (np.full((1, 8, 8, 3), np.nan), "got NaN"),
        (np.zeros((8, 8)), r"has the shape \(8, 8\)"),
        (np.zeros((8, 8, 4), "uint8"), r"must have 3 channels"),
        (np.zeros((3, 8, 8), "uint8"), r"must have 3 channels"),
        (7, "got int"),
        (b"face.png", "got bytes"),
    ],
)
def test_arrays_that_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        kd.evaluation.predict_images(red_detector(), images)


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (lambda: "detector.keras", {}, "must each be a Keras model"),
        (lambda: red_detector(columns=3), {}, "two columns of probabilities, or one"),
        (lambda: red_detector(activation=None), {}, "must give probabilities"),
        (lambda: keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), {}, "4 axes"),
        (red_detector, {"threshold": 1.5}, "`threshold`"),
        (red_detector, {"batch_size": 0}, "`batch_size`"),
    ],
)
def test_model_and_arguments_that_are_refused(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        kd.evaluation.predict_images(model(), red(200), **arguments)


def test_no_images():
    predictions = kd.evaluation.predict_images(red_detector(), [])
    assert len(predictions) == 0
    assert str(predictions) == "path  fake  real  verdict  error"
