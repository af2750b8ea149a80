import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageFile

from keras_deepfake.audit._file_traits import read_file_traits
from keras_deepfake.datasets import load_image


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype="uint8"))
    return coarse.resize((60, 44), Image.Resampling.BICUBIC)


def test_jpeg_quality_is_the_encoders(image, tmp_path):
    for quality in (1, 10, 49, 50, 51, 75, 92, 99, 100):
        image.save(tmp_path / "image.jpg", quality=quality)
        traits = read_file_traits(tmp_path / "image.jpg")
        assert (traits.jpeg_quality, traits.jpeg_tables) == (quality, f"q{quality}")
    image.convert("L").save(tmp_path / "grey.jpg", quality=60)
    assert read_file_traits(tmp_path / "grey.jpg").jpeg_tables == "q60"


def test_tables_of_another_encoder(image, tmp_path):
    image.save(tmp_path / "standard.jpg", quality=80)
    with Image.open(tmp_path / "standard.jpg") as saved:
        tables = [list(saved.quantization[key]) for key in (0, 1)]
    tables[0][5] += 1
    image.save(tmp_path / "other.jpg", qtables=tables)
    image.rotate(180).save(tmp_path / "alike.jpg", qtables=tables)
    other, alike = (read_file_traits(tmp_path / name) for name in ("other.jpg", "alike.jpg"))
    assert other.jpeg_quality == 80
    assert other.jpeg_tables.startswith("tables ")
    assert other.jpeg_tables == alike.jpeg_tables


def test_header(image, tmp_path):
    exif = Image.Exif()
    exif[271] = "camera"
    image.save(tmp_path / "a.jpg", subsampling="4:2:2", exif=exif, comment="hello")
    traits = read_file_traits(tmp_path / "a.jpg")
    assert (traits.format, traits.colour_mode) == ("JPEG", "RGB")
    assert (traits.width, traits.height) == (60, 44)
    assert traits.chroma_subsampling == "4:2:2"
    assert {"comment", "exif"} <= set(traits.metadata)
    assert traits.file_size == (tmp_path / "a.jpg").stat().st_size

    image.save(tmp_path / "a.jpg.jpg", "PNG")
    traits = read_file_traits(tmp_path / "a.jpg.jpg")
    assert (traits.format, traits.metadata) == ("PNG", ())
    assert np.isnan(traits.jpeg_quality)
    assert traits.jpeg_tables == traits.chroma_subsampling == ""


def test_a_large_jpeg_is_measured_by_all_its_pixels(image, tmp_path):
    image.resize((2400, 1760)).save(tmp_path / "large.jpg")
    with Image.open(tmp_path / "large.jpg") as saved:
        saved.save(tmp_path / "alike.png")
    large, alike = (read_file_traits(tmp_path / name) for name in ("large.jpg", "alike.png"))
    assert (large.width, large.height) == (2400, 1760)
    assert large.sharpness == alike.sharpness
    assert large.pixel_hash == alike.pixel_hash


def test_settings_of_other_code_in_pillow_change_nothing(image, tmp_path, monkeypatch):
    image.save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert read_file_traits(tmp_path / "whole.jpg").width == 60
    with pytest.raises(OSError, match="truncated"):
        read_file_traits(tmp_path / "cut.jpg")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "I;16", "CMYK"])
def test_brightness_of_every_mode(tmp_path, mode):
    pixels = np.full((40, 40), 60, dtype="uint8")
    pixels[:20] = 180
    if mode == "I;16":
        image = Image.fromarray(pixels.astype("uint16") * 257)
    else:
        image = Image.fromarray(pixels).convert("RGB").convert(mode)
    image.save(tmp_path / "image.tif")
    traits = read_file_traits(tmp_path / "image.tif")
    assert traits.brightness == pytest.approx(120, abs=2)
    assert int(traits.thumbnail[0, 0]) == pytest.approx(180, abs=8)


def test_deep_pixels_are_those_that_the_datasets_read(tmp_path):
    """A PNG of 16 bits and what is read of it, saved in 8 bits, are copies."""
    rng = np.random.default_rng(0)
    for shape in ((9, 7, 3), (9, 7)):
        deep = rng.integers(0, 2**16, shape, dtype="uint16")
        encoded = tf.io.encode_png(deep.reshape(9, 7, -1)).numpy()
        (tmp_path / "deep.png").write_bytes(encoded)
        read = np.round(255 * load_image(tmp_path / "deep.png")).astype("uint8")
        Image.fromarray(read).save(tmp_path / "shallow.png")
        deep, shallow = (read_file_traits(tmp_path / f"{n}.png") for n in ("deep", "shallow"))
        assert deep.pixel_hash == shallow.pixel_hash
        assert deep.file_hash != shallow.file_hash


def test_sharpness_falls_with_blur_and_not_with_contrast(image, tmp_path):
    def sharpness(image):
        image.save(tmp_path / "image.png")
        return read_file_traits(tmp_path / "image.png").sharpness

    noisy = np.asarray(image) / 2 + np.random.default_rng(0).integers(0, 60, (44, 60, 3))
    sharp = Image.fromarray(noisy.astype("uint8"))
    faint = Image.fromarray((noisy * 0.7).astype("uint8"))
    blurred = sharp.resize((30, 22), Image.Resampling.BOX).resize((60, 44))
    assert sharpness(blurred) < sharpness(sharp) - 0.5
    assert sharpness(faint) == pytest.approx(sharpness(sharp), abs=0.1)
    assert np.isnan(sharpness(sharp.crop((0, 0, 2, 2))))


def test_rotation_in_the_metadata_is_applied(image, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "upright.png")
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    upright, turned = (read_file_traits(tmp_path / n) for n in ("upright.png", "turned.png"))
    np.testing.assert_array_equal(upright.thumbnail, turned.thumbnail)
