import re

import keras
import numpy as np
import pytest
from PIL import Image

import keras_deepfake as kd
from keras_deepfake.reports import photograph_inspection

SIDE = 32
POINTS = np.array([[-4.0, -0.8], [4.0, -0.8], [0.0, 7.2]])  # its crop has the side 32


@pytest.fixture(scope="module")
def detector():
    """P(fake) is 0.5 for a black face, and grows with its red."""
    inputs = keras.Input((SIDE, SIDE, 3))
    convolution = keras.layers.Conv2D(1, 1, use_bias=False)
    x = keras.layers.GlobalAveragePooling2D()(convolution(inputs))
    head = keras.layers.Dense(2, "softmax")
    model = keras.Model(inputs, head(x))
    convolution.set_weights([np.array([1.0, 0, 0]).reshape(1, 1, 3, 1)])
    head.set_weights([np.array([[4.0, -4.0]]), np.zeros(2)])
    return kd.models.Detector(model, class_names=("fake", "real"), conformal_bounds=(0.6, 0.9))


@pytest.fixture
def cropper():
    """Finds a face wherever a pixel is all green."""

    def face_detector(photograph):
        places = np.argwhere(photograph[..., 1] == 255)
        return [(0.95, POINTS + (x + 0.5, y + 0.5)) for y, x in places]

    return kd.faces.FaceCropper(SIDE, face_detector=face_detector)


def photograph(*reds):
    image = np.zeros((40, 40 * len(reds) or 40, 3), "uint8")
    for place, value in enumerate(reds):
        image[:, 40 * place : 40 * place + 40, 0] = value
        image[20, 40 * place + 20, 1] = 255
    return image


def test_page(detector, cropper, tmp_path, monkeypatch):
    frames = []
    draw = photograph_inspection.draw
    drawn = draw.plot_photograph

    def record(image, corners, verdicts, names, fake_class):
        frames.append((image.shape, np.asarray(corners), list(verdicts)))
        assert fake_class == "fake"
        return drawn(image, corners, verdicts, names, fake_class=fake_class)

    monkeypatch.setattr(draw, "plot_photograph", record)
    monkeypatch.setattr(photograph_inspection, "LONGEST", 80)
    (tmp_path / "in").mkdir()
    Image.fromarray(photograph(0, 255, 60, 10)).save(tmp_path / "in" / "a.png")
    Image.fromarray(photograph()).save(tmp_path / "in" / "b.png")
    (tmp_path / "in" / "c.jpg").write_bytes(b"no image")
    page = tmp_path / "page.html"
    predictions = kd.reports.inspect_photographs(
        detector, tmp_path / "in", page, cropper, verbose=0
    )
    assert [row.verdict for row in predictions] == ["fake", None, None]
    # 160 pixels are drawn on 80, and the frames with them.
    assert [shape for shape, *_ in frames] == [(20, 80, 3), (40, 40, 3)]
    assert frames[0][2] == ["real", "fake", "unsure", "real"]
    np.testing.assert_allclose(
        frames[0][1][1], np.array([[44.5, 4.5], [76.5, 4.5], [76.5, 36.5], [44.5, 36.5]]) / 2
    )
    text = page.read_text(encoding="utf-8")
    assert re.search(r"Verdict: fake\. 4 faces, .* 1\.000 \(unsure from 0\.6 to 0\.9\)\.", text)
    assert "No verdict: no face found." in text
    assert "Cannot be read: not an image." in text
    assert all(limit in text for limit in photograph_inspection.LIMITS)
    # Two photographs, and the maps of four faces in rows of three.
    assert text.count("<img") == 4
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert {path.name for path in tmp_path.iterdir()} == {"in", "page.html"}


def test_a_detector_of_channels_first(detector, cropper, tmp_path):
    """Of names that do not tell which class is the fake one."""
    images = keras.Input((3, SIDE, SIDE))
    x = keras.layers.Permute((2, 3, 1))(images)
    model = keras.Model(images, detector.members[0](x))
    detector = kd.models.Detector(model, class_names=("a", "b"), fake_class="b")
    Image.fromarray(photograph(255)).save(tmp_path / "a.png")
    predictions = kd.reports.inspect_photographs(
        detector, tmp_path / "a.png", tmp_path / "page.html", cropper, verbose=0
    )
    (row,) = predictions
    assert row.verdict == "a"
    assert "Verdict: a." in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_detector_without_feature_maps(cropper, tmp_path):
    inputs = keras.Input((SIDE, SIDE, 3))
    model = keras.Model(inputs, keras.layers.Dense(2, "softmax")(keras.layers.Flatten()(inputs)))
    detector = kd.models.Detector(model, class_names=("fake", "real"))
    page = tmp_path / "page.html"
    kd.reports.inspect_photographs(
        detector, photograph(9), page, cropper, threshold=0.25, verbose=0
    )
    text = page.read_text(encoding="utf-8")
    assert "there are no maps" in text
    assert "(threshold 0.25)" in text
    assert text.count("<img") == 2


def test_refuses_before_anything_is_written(detector, cropper, tmp_path):
    page = tmp_path / "page.html"
    for photographs, message in ((iter([photograph(9)]), "read twice"), ([], "holds no images")):
        with pytest.raises(ValueError, match=message):
            kd.reports.inspect_photographs(detector, photographs, page, cropper, verbose=0)
    assert not page.exists()
