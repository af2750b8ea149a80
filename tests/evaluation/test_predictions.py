import csv
import json
import os
import re

import keras
import numpy as np
import pytest
from PIL import Image

import keras_deepfake as kd

ROW = ("path", "probabilities", "verdict", "error", "parts", "face")


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


@pytest.fixture
def cropper():
    """Finds faces where pixels are all blue, each of which covers a square of 16 pixels."""

    def face_detector(photograph):
        rows, columns = np.nonzero(photograph[..., 2] == 255)
        points = np.array([[-2.0, 0.0], [2.0, 0.0], [0.0, 4.0]])
        # The square is centred a tenth of the way from the eyes to the mouth.
        return [(0.95, points + (x + 0.5, y + 0.1)) for y, x in zip(rows, columns, strict=True)]

    return kd.faces.FaceCropper(size=8, face_detector=face_detector)


def photograph(*reds):
    """A photograph with a face for each value, which all of the face's square has."""
    image = np.zeros((20, 20 * len(reds) or 20, 3), "uint8")
    for place, value in enumerate(reds):
        image[:, 20 * place : 20 * place + 20, 0] = value
        image[10, 20 * place + 10, 2] = 255
    return image


def test_photographs_have_the_verdict_of_their_worst_face(cropper, tmp_path):
    Image.fromarray(photograph(0, 255, 140)).save(tmp_path / "three.png")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    images = [tmp_path / "three.png", photograph(), tmp_path / "broken.jpg", photograph(10)]
    for batch_size in (1, 32):
        predictions = kd.evaluation.predict_images(
            red_detector(), images, batch_size, faces=cropper
        )
        names = [str(tmp_path / "three.png"), "images[1]", str(tmp_path / "broken.jpg")]
        assert [row.path for row in predictions] == [*names, "images[3]"]
        assert [row.verdict for row in predictions] == ["fake", None, None, "real"]
        errors = [None, "no face found", "not an image", None]
        assert [row.error for row in predictions] == errors
        assert [row.parts and len(row.parts) for row in predictions] == [3, (), None, 1]
    faces = predictions[0].parts
    assert [face.verdict for face in faces] == ["real", "fake", "fake"]
    assert faces[1].path == f"{names[0]}[1]"
    assert predictions[0].probabilities is faces[1].probabilities
    # Each crop is of one colour, but for the pixel that marks the face.
    expected = kd.evaluation.predict_images(red_detector(), [red(0), red(255), red(140)])
    for face, row in zip(faces, expected, strict=True):
        np.testing.assert_allclose(face.probabilities, row.probabilities, atol=2e-3)
    np.testing.assert_allclose(cropper.corners(faces[1].face).mean(axis=0), [30.5, 10.5])
    assert predictions.summary().startswith(
        "4 photographs: 1 fake, 1 real, 1 without a face, 1 not readable; called fake from"
    )


def test_table_and_figures_of_photographs(cropper, tmp_path):
    predictions = kd.evaluation.predict_images(
        red_detector(), [photograph(0, 255), photograph()], faces=cropper
    )
    predictions.save(tmp_path / "out.csv")
    with open(tmp_path / "out.csv", newline="") as file:
        rows = [(r["path"], r["faces"], r["verdict"], r["error"]) for r in csv.DictReader(file)]
    assert rows == [
        ("images[0]", "2", "fake", ""),
        ("images[0][0]", "", "real", ""),
        ("images[0][1]", "", "fake", ""),
        ("images[1]", "0", "", "no face found"),
    ]
    figures = json.loads(predictions.to_json())
    assert figures["of"] == "photograph"
    face = figures["rows"][0]["parts"][1]
    assert face["verdict"] == "fake"
    assert np.shape(face["face"]["points"]) == (3, 2)
    assert predictions[:1].of == "photograph"
    assert "<td" in predictions.to_html()


def test_a_detector_that_abstains_on_photographs(cropper):
    detector = kd.models.Detector(red_detector(), conformal_bounds=(0.3, 0.9))
    images = [photograph(0, 128), photograph(128, 255)]
    predictions = kd.evaluation.predict_images(detector, images, faces=cropper)
    assert [row.verdict for row in predictions] == ["unsure", "fake"]
    with pytest.raises(ValueError, match="`faces` must be a `FaceCropper`"):
        kd.evaluation.predict_images(detector, images, faces="mtcnn")


def row(path, score):
    if score is None:
        return kd.evaluation.Prediction(path, None, None, "not an image")
    return kd.evaluation.Prediction(path, np.array([1 - score, score], "float32"), "real", None)


def test_groups_have_the_mean_of_the_log_odds():
    scores = [0.9, 0.4, 0.2, None, 1.0, None]
    names = ["ann_0", "bo_0", "ann_1", "ann_2", "cy_0", "di_0"]
    rows = [row(f"x/{name}.png", score) for name, score in zip(names, scores, strict=True)]
    predictions = kd.evaluation.Predictions(rows, ("photo", "drawn"), 0.5, fake_class="drawn")
    people = predictions.group(re.compile("^([a-z]+)_"))
    assert [group.path for group in people] == ["ann", "bo", "cy", "di"]
    # The odds are 9 and 1/4, and their geometric mean is 1.5.
    np.testing.assert_allclose(people[0].probabilities, [0.4, 0.6], atol=1e-6)
    np.testing.assert_allclose(people[1].probabilities, [0.6, 0.4], atol=1e-6)
    assert people[2].probabilities[1] > 1 - 1e-6
    assert [group.verdict for group in people] == ["drawn", "photo", "drawn", None]
    assert people[3].error == "no image has a verdict"
    assert [part.path for part in people[0].parts] == [f"x/ann_{i}.png" for i in range(3)]
    assert [cells[:2] for cells in people.table()[:2]] == [("group", "images"), ("ann", 2)]
    assert [cells[1] for cells in people.table()[2:]] == [1, 1, 0]
    assert people.summary().startswith("4 groups: 1 photo, 2 drawn, 1 without a verdict; ")
    for groups in (lambda path: path[2], {f"{name}.png": name[0] for name in names}):
        assert [group.path for group in predictions.group(groups)] == ["a", "b", "c", "d"]
    unsure = kd.evaluation.Predictions(
        rows, ("photo", "drawn"), 0.5, (0.45, 0.7), fake_class="drawn"
    )
    assert unsure.group(lambda path: path[2])[0].verdict == "unsure"


def test_one_sure_image_is_no_more_than_its_share():
    """In float32 a score of 1 says nothing about how many nines there are."""
    rows = [row("a1", 1.0), row("a2", 1e-30)]
    (group,) = kd.evaluation.Predictions(rows, ("real", "fake"), 0.5).group(lambda path: "a")
    np.testing.assert_allclose(group.probabilities, 0.5, atol=1e-6)


@pytest.mark.parametrize("groups", [None, "a", 3, re.compile("z"), {}])
def test_groups_that_are_refused(groups):
    predictions = kd.evaluation.Predictions([row("a", 0.5)], ("real", "fake"), 0.5)
    with pytest.raises(ValueError, match="`groups` must"):
        predictions.group(groups)
