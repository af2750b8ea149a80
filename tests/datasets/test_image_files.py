import itertools
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile

from keras_deepfake.datasets import _inspection, load_image


def photograph(height=31, width=45):
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).normal(0, 20, (height, width, 3))
    smooth = np.stack([x * 5, y * 7, (x * y) % 256], axis=-1)
    return np.clip(smooth + noise, 0, 255).astype("uint8")


def as_bytes(path):
    return np.round(load_image(path) * 255).astype("uint8")


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_tensorflow_and_pillow_decode_jpegs_alike(tmp_path, mode):
    path = tmp_path / "a.jpg"
    for quality, subsampling, progressive in itertools.product((40, 95), (0, 1, 2), (0, 1)):
        Image.fromarray(photograph()).convert(mode).save(
            path, quality=quality, subsampling=subsampling, progressive=bool(progressive)
        )
        *_, decoder = _inspection.inspect_image(path)
        assert decoder == _inspection.JPEG
        expected = np.asarray(Image.open(path).convert("RGB"))
        np.testing.assert_array_equal(as_bytes(path), expected)


def header_or_reason(path):
    try:
        return _inspection.inspect_image(path)
    except ValueError as error:
        return str(error)


def jpegs(folder):
    """Files of every mode, with metadata and without."""
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {
        "plain": {"quality": 30},
        "progressive": {"progressive": True},
        "rotated": {"exif": exif},
        "described": {"comment": b"a face", "dpi": (300, 300), "icc_profile": bytes(500)},
    }
    for mode, (name, option) in itertools.product(("L", "RGB", "CMYK"), options.items()):
        path = folder / f"{mode}_{name}.jpg"
        Image.fromarray(photograph()).convert(mode).save(path, **option)
        yield path


def test_headers_of_jpegs_are_those_of_pillow(tmp_path, monkeypatch):
    """Also where bytes have changed, are missing, or are too many."""
    rng = np.random.default_rng(0)
    files, found = list(jpegs(tmp_path)), []
    for path, contents in [(path, path.read_bytes()) for path in files]:
        for number in range(60):
            damaged = bytearray(contents)
            if number == 1:  # a table of 16 bits, and of 8 by its length
                damaged[contents.index(b"\xff\xdb") + 4] = 0x10
            elif number == 2:  # a scan whose header ends behind the file
                damaged[contents.index(b"\xff\xda") + 2] = 0xF0
            elif number > 2:
                place = int(rng.integers(2, 640))
                replacement = [b"", rng.bytes(1), rng.bytes(1), rng.bytes(3)][number % 4]
                damaged[place : place + (number % 4 < 3)] = replacement
            path = tmp_path / f"{len(found)}.jpg"
            path.write_bytes(damaged)
            found.append((path, header_or_reason(path)))
    monkeypatch.setattr(_inspection, "_plain_jpeg_size", lambda start: None)
    for path, header in found:
        assert header == header_or_reason(path), path
    decoders = [header[2] for _, header in found[::60]]
    assert decoders == 2 * ([_inspection.JPEG] * 2 + [_inspection.PILLOW, _inspection.JPEG]) + (
        [_inspection.PILLOW] * 4
    )


def test_plain_jpegs_do_not_wait_for_pillow(tmp_path, monkeypatch):
    monkeypatch.setattr(_inspection, "open_image", None)
    for name, options in (("a.jpg", {}), ("b.jpg", {"progressive": True, "comment": b"b"})):
        Image.fromarray(photograph()).save(tmp_path / name, **options)
        assert _inspection.inspect_image(tmp_path / name) == (31, 45, _inspection.JPEG)


def make_modes():
    image = Image.fromarray(photograph())
    alpha = Image.fromarray(photograph()[..., 0])
    rgba = image.convert("RGBA")
    rgba.putalpha(alpha)
    palette = image.quantize(40)
    return {
        "rgb": (image, {}),
        "grey": (image.convert("L"), {}),
        "bits": (image.convert("1"), {}),
        "rgba": (rgba, {}),
        "grey_alpha": (rgba.convert("LA"), {}),
        "palette": (palette, {}),
        "palette_four_bits": (image.quantize(9), {"bits": 4}),
        "palette_transparent": (palette, {"transparency": bytes(range(40))}),
        "colour_transparent": (image, {"transparency": (1, 2, 3)}),
    }


@pytest.mark.parametrize("mode", make_modes())
def test_every_mode_of_png_becomes_rgb_without_its_alpha(tmp_path, mode):
    path = tmp_path / "a.png"
    image, options = make_modes()[mode]
    image.save(path, **options)
    expected = image.convert("LA").convert("L") if mode == "grey_alpha" else image
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load_image(path)
    assert loaded.shape == (31, 45, 3)
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(as_bytes(path), np.asarray(expected.convert("RGB")))


@pytest.mark.parametrize("extension", ["bmp", "gif", "tif", "webp"])
def test_other_formats(tmp_path, extension):
    path = tmp_path / f"a.{extension}"
    image = Image.fromarray(photograph())
    if extension == "gif":
        image = image.quantize(40)
    options = {"lossless": True} if extension == "webp" else {}
    image.save(path, **options)
    np.testing.assert_array_equal(as_bytes(path), np.asarray(image.convert("RGB")))


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for name in ("a.gif", "a.png", "a.webp"):
        frames[0].save(
            tmp_path / name, save_all=True, append_images=frames[1:], **{"lossless": True}
        )
        assert as_bytes(tmp_path / name)[4, 4].tolist() == [255, 0, 0]


def test_cmyk(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (16, 16), (200, 100, 50)).convert("CMYK").save(path, quality=100)
    assert np.abs(as_bytes(path).astype("int") - (200, 100, 50)).max() <= 3


def test_sixteen_bits_are_scaled(tmp_path):
    values = np.linspace(0, 65535, 64 * 4).astype("uint16").reshape(4, 64)
    for name in ("a.png", "a.tif"):
        Image.fromarray(values).save(tmp_path / name)
        loaded = load_image(tmp_path / name)
        expected = np.repeat(values[..., None] / 65535, 3, axis=-1)
        np.testing.assert_allclose(loaded, expected, atol=0.51 / 255)


def test_sixteen_bit_colour(tmp_path):
    tf = pytest.importorskip("tensorflow")
    colours = np.random.default_rng(0).integers(0, 65536, (5, 6, 3)).astype("uint16")
    path = tmp_path / "a.png"
    path.write_bytes(tf.io.encode_png(colours).numpy())
    np.testing.assert_allclose(load_image(path), colours / 65535, atol=0.51 / 255)


def test_float_images_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    Image.fromarray(np.ones((4, 4), "float32")).save(path)
    with pytest.raises(ValueError, match="no defined range"):
        load_image(path)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_orientation(tmp_path, name, orientation):
    path = tmp_path / name
    image = Image.fromarray(photograph())
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)
    turns = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    stored = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(as_bytes(path), np.rot90(stored, turns))
    assert _inspection.inspect_image(path)[:2] == np.rot90(stored, turns).shape[:2]


def test_data_after_the_end_marker(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(photograph()).save(path)
    before = load_image(path)
    path.write_bytes(path.read_bytes() + b"trailer of a camera")
    np.testing.assert_array_equal(load_image(path), before)


def test_resizing(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(photograph(32, 64)).save(path)
    small = load_image(path, image_size=(8, 16))
    assert small.shape == (8, 16, 3)
    # Pillow's bilinear filter is the antialiased triangle; it rounds to bytes.
    expected = np.asarray(Image.open(path).resize((16, 8), Image.Resampling.BILINEAR)) / 255
    np.testing.assert_allclose(small, expected, atol=1.01 / 255)
    large = load_image(path, image_size=(64, 128))
    expected = np.asarray(Image.open(path).resize((128, 64), Image.Resampling.BILINEAR)) / 255
    np.testing.assert_allclose(large, expected, atol=1.01 / 255)
    np.testing.assert_array_equal(load_image(path, image_size=(32, 64)), load_image(path))
    white = tmp_path / "white.png"
    Image.new("RGB", (50, 37), "white").save(white)
    assert load_image(white, image_size=(16, 16)).max() == 1.0


@pytest.mark.parametrize(
    "image_size", [256, (0, 8), (9000, 9000), (8,), (8.0, 8.0), (8, 8, 3), "ab", None]
)
def test_bad_image_size(tmp_path, image_size):
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    if image_size is None:
        assert load_image(path, image_size).shape == (8, 8, 3)
        return
    with pytest.raises(ValueError, match="image_size"):
        load_image(path, image_size)


def test_unreadable_image_is_named(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("no image")
    with pytest.raises(ValueError, match=r"a\.png.*not an image"):
        load_image(path)
    with pytest.raises(ValueError, match=r"missing\.png.*No such file"):
        load_image(tmp_path / "missing.png")


def test_reading_a_png_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8), (0, 102, 255)).save(path)
    monkeypatch.delattr("tensorflow.data.Dataset.map")  # TensorFlow keeps its functions for ever
    expected = np.full((8, 8, 3), (0.0, 0.4, 1.0), "float32")
    np.testing.assert_array_equal(load_image(path), expected)
    monkeypatch.setattr(_inspection, "_inspect", lambda file: (8, 8, _inspection.PNG))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"a\.png.*damaged"):
        load_image(path)


def test_jpeg_that_is_damaged_behind_its_header(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (16, 16)).save(path)
    contents = bytearray(path.read_bytes())
    tables = contents.index(b"\xff\xc4")
    contents[tables + 4 : tables + 20] = b"\xff" * 16
    path.write_bytes(contents)
    with pytest.raises(ValueError, match=r"a\.jpg.*damaged"):
        load_image(path)


@pytest.fixture
def pillow():
    def settings():
        return Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES

    before = settings()
    yield settings
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before


@pytest.mark.parametrize("name", ["a.jpg", "rotated.jpg", "a.png", "a.gif", "a.tif", "a.webp"])
@pytest.mark.parametrize("limit", [None, 0, 10, 2000])
def test_pillow_settings_of_others_change_nothing(tmp_path, name, limit, pillow):
    path = tmp_path / name
    exif = Image.Exif()
    exif[0x0112] = 6 if name == "rotated.jpg" else 1
    Image.fromarray(photograph()).save(path, exif=exif)
    expected = load_image(path)
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = limit, True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(load_image(path), expected)
    assert pillow() == (limit, True)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"truncated|damaged"):
        load_image(path)
    assert pillow() == (limit, True)


def test_pillow_settings_outlast_threads(tmp_path, pillow):
    paths = [tmp_path / f"{i}.webp" for i in range(20)]
    for path in paths:
        Image.fromarray(photograph()).save(path)
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = 10, True
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(_inspection.inspect_image, map(str, paths * 5)))
    assert pillow() == (10, True)


def test_threads_share_the_memory_for_decoding():
    memory, peak = _inspection._Memory(100), 0

    def decode(amount):
        nonlocal peak
        with memory.taking(amount):
            peak = max(peak, memory.total - memory.free)
            time.sleep(0.001)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, [30, 1000, 60, 10] * 8))  # what is larger than all waits for all
    assert 0 < peak <= 100
    assert memory.free == 100


def test_sixteen_bits_are_rounded():
    values = np.arange(65536, dtype="uint16").reshape(256, 256)
    expected = np.floor(values / 257 + 0.5)
    np.testing.assert_array_equal(_inspection._eight_bits(values), expected)


@pytest.mark.parametrize("path", [None, 3, b"a.png", "", "a\0b", np.zeros(2), float("nan")])
def test_what_is_no_path(path):
    with pytest.raises(ValueError, match="`path` must be a path"):
        load_image(path)
