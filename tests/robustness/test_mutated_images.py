"""Damaged image files give the pixels of Pillow, or are reported by their path."""

import io
import os
import resource
import struct
import time
import zlib

import keras
import numpy as np
import pytest
from PIL import Image, ImageOps

import keras_deepfake as kd
from tests.robustness.counts import IMAGES

NAMES = [
    "face",
    "лицо",
    "面部",
    "وجه",
    "a\nb",
    "tab\tb",
    "😀 ",
    "%s{0}",
    "'\"",
    b"\xff\xfe".decode(errors="surrogateescape"),
]
# What decoding 2**26 pixels, the most that `load_image` takes, may cost.
MOST_BYTES = 2**26 * 16


def encoded(rng):
    """Small files of every format, in several modes."""
    pixels = rng.integers(0, 256, (24, 20, 4), "uint8")
    smooth = Image.fromarray(pixels).resize((40, 48)).convert("RGB")
    kinds = [
        ("jpg", smooth, {"quality": 80}),
        ("jpg", smooth.convert("L"), {"progressive": True}),
        ("jpeg", smooth.convert("CMYK"), {}),
        ("png", smooth, {}),
        ("png", Image.fromarray(pixels), {}),
        ("png", smooth.quantize(16), {}),
        ("gif", smooth.quantize(8), {"save_all": True, "append_images": [smooth.rotate(90)]}),
        ("bmp", smooth, {}),
        ("tif", smooth, {"compression": "tiff_lzw"}),
        ("tiff", smooth, {}),
        ("webp", smooth, {"lossless": True}),
        ("webp", smooth, {"save_all": True, "append_images": [smooth.rotate(90)]}),
    ]
    for extension, image, settings in kinds:
        file = io.BytesIO()
        form = {"jpg": "jpeg", "tif": "tiff"}.get(extension, extension)
        image.save(file, form, **settings)
        yield extension, file.getvalue()


def huge_png(rng):
    """A PNG with correct checksums whose header declares more pixels than memory."""
    side = int(rng.integers(2**14, 2**31))
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    chunks = [
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c))
        for c in (header, data, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def mutants(rng, count):
    """Yields extension and content; every kind of damage comes up in turns."""
    files = list(encoded(rng))
    for i in range(count):
        extension, content = files[rng.integers(len(files))]
        other_extension, other = files[rng.integers(len(files))]
        kind = i % 9
        if kind in (0, 1):
            changed = bytearray(content)
            for _ in range(1 + 7 * kind):
                changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
            content = bytes(changed)
        elif kind == 2:
            content = content[: rng.integers(len(content))]
        elif kind == 3:
            length = int(rng.integers(4, 64))
            content = other[:length] + content[length:]
        elif kind == 4:
            content = b""
        elif kind == 5:
            extension = other_extension
        elif kind == 6:
            extension, content = "png", huge_png(rng)
        elif kind == 7:
            # Where headers hold sizes.
            changed = bytearray(content)
            start = int(rng.integers(min(200, len(changed) - 4)))
            changed[start : start + 4] = rng.bytes(4)
            content = bytes(changed)
        yield extension, content  # the ninth is whole


def write_mutants(folder, count, seed=0):
    rng = np.random.default_rng(seed)
    paths = []
    for i, (extension, content) in enumerate(mutants(rng, count)):
        path = os.path.join(
            folder, ("fake", "real")[i % 2], f"{NAMES[i % len(NAMES)]}{i}.{extension}"
        )
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        paths.append(path)
    # What cannot be opened at all, whoever runs the test.
    for name, make in (
        ("folder.png", os.mkdir),
        ("pipe.png", os.mkfifo),
        ("gone.png", lambda p: os.symlink("x", p)),
    ):
        path = os.path.join(folder, "fake", name)
        make(path)
        paths.append(path)
    return paths


def reference(path):
    """The pixels by Pillow alone, uint8 RGB."""
    with Image.open(path) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I;16"):
            return np.asarray(
                Image.fromarray(np.round(np.asarray(image) / 257).astype("uint8")).convert("RGB")
            )
        if image.mode in ("P", "PA"):
            image = image.convert("RGBA")
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    return folder, write_mutants(folder, IMAGES)


def test_pixels_or_a_report(damaged):
    _, paths = damaged
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wrong, read = [], 0
    for path in paths:
        if path.endswith("folder.png"):
            continue
        start = time.process_time()
        try:
            image = kd.datasets.load_image(path)
        except ValueError as refusal:
            message = str(refusal)
        else:
            read, message = read + 1, repr(path)
            expected = reference(path)
            if expected.shape != image.shape or not np.array_equal(np.round(image * 255), expected):
                wrong.append(path)
        assert repr(path) in message
        assert time.process_time() - start < 30, path
    assert wrong == []
    assert 0 < read < len(paths)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MOST_BYTES


def test_index_drops_no_file_silently(damaged):
    folder, paths = damaged
    with pytest.warns(UserWarning, match="left out|skipped|problem"):
        index = kd.datasets.ImageIndex.from_directory(
            folder, on_error="skip", check="pixels", verbose=0
        )
    reported = [path for path, _ in index.skipped]
    assert sorted([*index.paths, *reported]) == sorted(
        p for p in paths if not p.endswith("folder.png")
    )
    for path in index.paths:
        kd.datasets.load_image(path)
    with pytest.raises(ValueError, match=r"problem|cannot be"):
        kd.datasets.ImageIndex.from_directory(folder, check="pixels", verbose=0)


def test_predictions_are_of_the_pixels(damaged):
    folder, paths = damaged
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(1, "sigmoid")]
    )
    rows = kd.evaluation.predict_images(model, folder, class_names=("fake", "real"))
    assert sorted(row.path for row in rows) == sorted(
        p for p in paths if not p.endswith("folder.png")
    )
    readable = [row for row in rows if row.error is None]
    images = np.stack([kd.datasets.load_image(row.path, (8, 8)) for row in readable])
    expected = keras.ops.convert_to_numpy(model(images))[:, 0]
    np.testing.assert_allclose([row.probabilities[1] for row in readable], expected, atol=1e-6)
    for row in rows:
        if row.error is not None:
            with pytest.raises(ValueError, match="cannot be read"):
                kd.datasets.load_image(row.path)
