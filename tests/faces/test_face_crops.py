import csv
import os
import sys
import types

import keras
import numpy as np
import pytest
from PIL import Image

from keras_deepfake.faces import FaceCropper, crop_faces
from keras_deepfake.faces._face_geometry import cut_face, face_square

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))  # left eye, right eye, mouth


def face(angle, centre=(200, 200), size=1.0):
    """Points of a face turned clockwise by an angle about the middle of its eyes."""
    points = size * np.array([[-20, 0], [20, 0], [0, 44]])
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return points @ np.array([[cos, sin], [-sin, cos]]) + centre


def photograph(points, side=400):
    image = np.full((side, side, 3), 90, "uint8")
    y, x = np.mgrid[:side, :side] + 0.5
    for point, colour in zip(points, COLOURS, strict=True):
        image[np.hypot(x - point[0], y - point[1]) < 5] = colour
    return image


def middle(image, colour):
    close = np.abs(np.asarray(image, "float32") - colour).sum(axis=-1) < 120
    rows, columns = np.nonzero(close)
    return columns.mean() + 0.5, rows.mean() + 0.5


@pytest.mark.parametrize("angle", [0, 30, -100])
@pytest.mark.parametrize("scale", [1, 2])
def test_crop_is_upright_and_framed_as_ffhq(angle, scale):
    points = face(angle, size=scale)
    # max(2 x 40, 1.8 x 44) = 80, so the crop is 160 wide and centred 4.4 below the eyes.
    crop = cut_face(photograph(points), points, 160, margin=0.5)
    assert crop.size == (160, 160)
    for colour, expected in zip(COLOURS, [(60, 75.6), (100, 75.6), (80, 119.6)], strict=True):
        assert middle(crop, colour) == pytest.approx(expected, abs=0.3)


def test_margin():
    points = face(0)
    crop = cut_face(photograph(points), points, 160, margin=1.5)
    assert middle(crop, COLOURS[0]) == pytest.approx((70, 77.8), abs=0.3)


def test_profile_is_turned_by_its_mouth():
    points = face(20)
    points[0] = points[1] = points[:2].mean(axis=0)
    _, axis, side = face_square(tuple(points), margin=0)
    assert np.degrees(np.arctan2(axis[1], axis[0])) == pytest.approx(20)
    assert side == pytest.approx(1.8 * 44)


def test_border_is_repeated_outside():
    points = face(0, centre=(5, 200))
    crop = np.asarray(cut_face(photograph(points), points, 160, margin=0.5))
    assert (crop[10, :40] == 90).all()


@pytest.fixture
def run(tmp_path, monkeypatch):
    class FakeMTCNN:
        def __init__(self, device):
            assert device == "CPU:0"

        def detect_faces(self, image):
            found = []
            for centre, confidence in (((100, 100), 0.99), ((300, 300), 0.99), ((100, 300), 0.5)):
                points = face(0, centre, size=1 + centre[1] / 1000)
                if image[int(points[2, 1]), int(points[2, 0]), 2] > 200:
                    names = ("left_eye", "right_eye", "mouth_left")
                    keypoints = dict(zip(names, points.tolist(), strict=True))
                    keypoints["mouth_right"] = keypoints["mouth_left"]
                    found.append({"confidence": confidence, "keypoints": keypoints})
            return found

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "mtcnn", types.SimpleNamespace(MTCNN=FakeMTCNN))

    def run(*arguments, **options):
        crops = crop_faces(*arguments, **{"verbose": 0, **options})
        with open("out.csv", encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = [(row["path"], row["output"], row["status"]) for row in csv.DictReader(file)]
        assert rows == [(row.path, row.output, row.status) for row in crops.rows]
        return crops.summary(), rows

    return run


def save(path, *centres):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    image = np.full((400, 400, 3), 90, "uint8")
    for centre in centres:
        drawn = photograph(face(0, centre, size=1 + centre[1] / 1000))
        image = np.where(drawn == 90, image, drawn)
    Image.fromarray(image).save(path)


def test_folder_of_photographs(run):
    save("in/fake/two.png", (100, 100), (300, 300))
    save("in/real/day/one.png", (300, 300))
    save("in/real/day/one.bmp", (100, 100))
    save("in/real/nobody.png")
    save("in/real/unsure.png", (100, 300))
    with open("in/real/broken.png", "w") as file:
        file.write("no image")
    summary, rows = run("in", "out", FaceCropper(size=64))
    assert rows == [
        ("in/fake/two.png", "out/fake/two_0.png", "cropped"),
        ("in/fake/two.png", "out/fake/two_1.png", "cropped"),
        ("in/real/broken.png", "", "unreadable: not an image"),
        ("in/real/day/one.bmp", "out/real/day/one.bmp_0.png", "cropped"),
        ("in/real/day/one.png", "out/real/day/one.png_0.png", "cropped"),
        ("in/real/nobody.png", "", "no face"),
        ("in/real/unsure.png", "", "no face"),
    ]
    assert summary == (
        "6 files: 4 faces cropped from 3, 0 were done before, 2 without a face, 1 unreadable"
    )
    with Image.open("out/fake/two_0.png") as largest:
        assert largest.size == (64, 64)

    before = os.stat("out/fake/two_0.png").st_mtime_ns
    assert run("in", "out")[1][0][2] == "exists"
    assert os.stat("out/fake/two_0.png").st_mtime_ns == before
    assert run("in", "out", overwrite=True)[1][0][2] == "cropped"
    with Image.open("out/fake/two_0.png") as crop:
        assert crop.size == (256, 256)


def test_every_file_has_crops_of_its_own(run):
    for name in ("x.jpg", "x.png", "x.jpg.png"):
        save(f"in/{name}", (100, 100))
    outputs = [row[1] for row in run("in", "out")[1]]
    assert outputs == ["out/x.jpg_0.png", "out/x.jpg.png_0.png", "out/x.png_0.png"]


def test_every_face_is_listed_again_and_none_is_left_that_is_gone(run):
    save("in/two.png", (100, 100), (300, 300))
    assert [row[2] for row in run("in", "out")[1]] == ["cropped"] * 2
    measured = [(row.confidence, row.pixels) for row in crop_faces("in", "out", verbose=0).rows]
    assert measured == [(0.99, pytest.approx(pixels, abs=1)) for _, pixels in measured]
    assert all(pixels > 50 for _, pixels in measured)
    again = [("in/two.png", f"out/two_{i}.png", "exists") for i in range(2)]
    assert run("in", "out")[1] == again
    save("in/two.png", (100, 100))
    assert len(run("in", "out", overwrite=True)[1]) == 1
    assert os.listdir("out") == ["two_0.png"]


def test_a_mistake_of_the_face_detector_names_the_photograph(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save("in/me.png")
    for found in (None, [(2.0, np.zeros((3, 2)))]):
        cropper = FaceCropper(face_detector=lambda photograph, found=found: found)
        with pytest.raises(ValueError, match=r"^'in/me\.png': `face_detector"):
            crop_faces("in", "out", cropper, verbose=0)


def test_file_names_that_are_no_text(run):
    save("in/\udcff.png", (100, 100))
    assert run("in", "out")[1] == [("in/\udcff.png", "out/\udcff_0.png", "cropped")]


def test_mistakes_are_told_before_anything_is_written(run, monkeypatch):
    save("in/nobody.png")
    os.makedirs("empty")
    for arguments, options, message in (
        (("missing", "out"), {}, "no such file or folder"),
        (("empty", "out"), {}, "holds no files"),
        (("in", "in/crops"), {}, "must not lie in `photographs`"),
        (("in", "out"), {"faces": "mtcnn"}, "`faces` must be a `FaceCropper`"),
        (("in", "out"), {"overwrite": 1}, "`overwrite` must be"),
    ):
        with pytest.raises(ValueError, match=message):
            run(*arguments, **options)
    monkeypatch.setitem(sys.modules, "mtcnn", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-deepfake\[faces\]'$"):
        run("in", "out")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="needs the TensorFlow backend"):
        run("in", "out")
    assert not os.path.exists("out")


def test_photographs_without_a_face(run):
    save("in/nobody.png")
    with pytest.raises(ValueError, match=r"No face was found\. 1 files: .*1 without a face"):
        run("in", "out")
    with open("out.csv", newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["no face"]
