import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from keras_deepfake.evaluation import _corruptions as corruptions


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype="uint8"))
    return np.asarray(coarse.resize((50, 40), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("quality", [100, 75, 30])
def test_jpeg_is_what_a_file_holds(image, quality, tmp_path):
    Image.fromarray(image).save(tmp_path / "image.jpg", quality=quality, subsampling=2)
    with Image.open(tmp_path / "image.jpg") as saved:
        np.testing.assert_array_equal(corruptions.jpeg(image, quality), np.asarray(saved))


def test_what_other_code_has_set_in_pillow_stops_no_jpeg(image, monkeypatch):
    expected = corruptions.jpeg(image, 75)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    np.testing.assert_array_equal(corruptions.jpeg(image, 75), expected)


def test_jpeg_error_grows_as_quality_falls(image):
    errors = [
        np.abs(corruptions.jpeg(image, quality) - image.astype(float)).mean()
        for quality in (100, 75, 30, 5)
    ]
    assert errors == sorted(errors)
    assert errors[0] < errors[-1] / 2


@pytest.mark.parametrize("sigma", [0.5, 1, 2, 4, 20])
def test_blur_is_scipys(image, sigma):
    expected = ndimage.gaussian_filter(
        image.astype(float), (sigma, sigma, 0), mode="reflect", truncate=4
    )
    assert np.abs(corruptions.blur(image, sigma) - expected).max() <= 0.51


@pytest.mark.parametrize("factor", [0.01, 0.25, 0.5, 1.5])
def test_resize_there_and_back(image, factor):
    pillow = Image.fromarray(image)
    small = pillow.resize(
        (max(1, round(50 * factor)), max(1, round(40 * factor))), Image.Resampling.BICUBIC
    )
    expected = small.resize((50, 40), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(corruptions.resize(image, factor), np.asarray(expected))


def test_noise_has_its_deviation(image):
    grey = np.full((200, 200, 3), 128, dtype="uint8")
    added = corruptions.noise(grey, 10, np.random.default_rng(0)).astype(float) - 128
    assert abs(added.mean()) < 0.2
    assert abs(added.std() - 10) < 0.2
    # Independent in the channels.
    assert abs(np.corrcoef(added[..., 0].ravel(), added[..., 1].ravel())[0, 1]) < 0.02
    np.testing.assert_array_equal(corruptions.noise(image, 0, np.random.default_rng(0)), image)


def test_crop_cuts_evenly(image):
    inside = Image.fromarray(image).crop((5, 4, 45, 36))
    expected = np.asarray(inside.resize((50, 40), Image.Resampling.BICUBIC)).astype(float)
    cropped = corruptions.crop(image, 0.2)
    # Pillow's box lets the border pixels see beyond it.
    np.testing.assert_allclose(cropped[3:-3, 3:-3], expected[3:-3, 3:-3], atol=1)
    np.testing.assert_array_equal(corruptions.crop(image, 0), image)


def test_brightness_multiplies_and_clips(image):
    expected = np.clip(np.rint(image * 1.2), 0, 255)
    np.testing.assert_array_equal(corruptions.brightness(image, 0.2), expected)
    assert corruptions.brightness(image, -1).max() == 0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("jpeg", (50,)),
        ("blur", (1,)),
        ("resize", (0.5,)),
        ("noise", (5, np.random.default_rng(0))),
        ("crop", (0.1,)),
        ("brightness", (0.1,)),
    ],
)
def test_shape_and_type_are_kept(image, name, arguments, channels):
    image = image[:37, :, :channels]
    before = image.copy()
    corrupted = getattr(corruptions, name)(image, *arguments)
    assert corrupted.shape == image.shape
    assert corrupted.dtype == "uint8"
    assert (corrupted != image).any()
    np.testing.assert_array_equal(image, before)
