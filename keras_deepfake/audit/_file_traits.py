"""What can be told of an image file without knowing what it shows."""

import functools
import hashlib
import io
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import get_sampling

from keras_deepfake._pillow_images import open_image

THUMBNAIL_SIZE = 32

# Every JPEG file has these: their absence says more than their presence.
_JFIF = {"jfif", "jfif_version", "jfif_unit", "jfif_density"}

_PNG_BIT_DEPTH = 24  # position of the byte

_SUBSAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0", -1: "other"}


class FileTraits(NamedTuple):
    """Measurements of one file, of its header, and of its decoded pixels."""

    format: str
    width: int
    height: int
    file_size: int  # bytes
    colour_mode: str
    metadata: tuple  # sorted names of what the file holds beside its pixels
    jpeg_quality: float  # NaN unless JPEG
    jpeg_tables: str  # empty unless JPEG
    chroma_subsampling: str  # empty unless JPEG
    brightness: float  # mean grey level, 0 to 255
    sharpness: float  # log2 of the mean Laplacian of grey over its mean gradient
    file_hash: bytes
    pixel_hash: bytes
    thumbnail: np.ndarray  # grey, uint8


def read_file_traits(path):
    """Read and measure one image file.

    Raises:
        Exception: of whatever kind Pillow has for a file that it cannot read.
    """
    with open(path, "rb") as file, open_image(file) as image:
        width, height = image.size
        mode = image.mode
        is_jpeg = image.format in ("JPEG", "MPO")
        quality, tables = _jpeg_quality(image.quantization) if is_jpeg else (np.nan, "")
        subsampling = _SUBSAMPLINGS[get_sampling(image)] if is_jpeg else ""
        image.load()
        metadata = set(image.info) - _JFIF
        if is_jpeg and "jfif" not in image.info:
            metadata.add("no jfif")
        image_format = image.format
        file.seek(0)
        data = file.read()
        if mode.startswith("I") or (image_format == "PNG" and data[_PNG_BIT_DEPTH] == 16):
            # TensorFlow loads only where such images are read.
            from keras_deepfake.datasets import load_image

            rgb = Image.fromarray(np.round(255 * load_image(path)).astype("uint8"))
        else:
            rgb = _to_rgb(ImageOps.exif_transpose(image))

    small = rgb.resize((THUMBNAIL_SIZE, THUMBNAIL_SIZE), Image.Resampling.BILINEAR)
    channels = np.asarray(small, dtype="int16")
    if mode not in ("1", "L", "LA") and np.ptp(channels, axis=-1).max() <= 1:
        mode += ", all grey"
    grey = np.asarray(rgb.convert("L"), dtype="int16")
    return FileTraits(
        format=image_format,
        width=width,
        height=height,
        file_size=len(data),
        colour_mode=mode,
        metadata=tuple(sorted(map(str, metadata))),
        jpeg_quality=quality,
        jpeg_tables=tables,
        chroma_subsampling=subsampling,
        brightness=float(grey.mean()),
        sharpness=_sharpness(grey),
        file_hash=hashlib.blake2b(data, digest_size=16).digest(),
        pixel_hash=hashlib.blake2b(
            f"{width} {height} ".encode() + rgb.tobytes(), digest_size=16
        ).digest(),
        thumbnail=np.asarray(small.convert("L")),
    )


def _to_rgb(image):
    if image.mode in ("P", "PA"):
        # Pillow warns of a palette with transparency unless it goes through RGBA.
        image = image.convert("RGBA")
    return image.convert("RGB")


def _sharpness(grey):
    if min(grey.shape) < 3:
        return np.nan
    top, bottom, left, right = grey[:-2, 1:-1], grey[2:, 1:-1], grey[1:-1, :-2], grey[1:-1, 2:]
    laplacian = np.abs(4 * grey[1:-1, 1:-1] - top - bottom - left - right)
    gradient = np.abs(bottom - top) + np.abs(right - left)
    # The ratio depends on the blur and little on the contrast. Half a level is a flat image's.
    return float(np.log2((laplacian.mean() + 0.5) / (gradient.mean() + 0.5)))


@functools.cache
def _encoder_tables():
    """Quantisation tables that libjpeg writes at the qualities 1 to 100: (100, 2, 64)."""
    tables = []
    for quality in range(1, 101):
        file = io.BytesIO()
        Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
        with Image.open(file) as image:
            tables.append([image.quantization[0], image.quantization[1]])
    return np.array(tables)


def _jpeg_quality(quantization):
    """The nearest quality of libjpeg, and the name of the tables: "q75", or a hash."""
    tables = [np.array(quantization[key]) for key in sorted(quantization)]
    encoder = _encoder_tables()
    distance = np.abs(np.log(np.maximum(tables[0], 1) / encoder[:, 0])).mean(axis=1)
    quality = int(distance.argmin()) + 1
    standard = encoder[quality - 1]
    # A grey image has no table of colour; some encoders write one table for each component.
    exact = np.array_equal(tables[0], standard[0]) and all(
        np.array_equal(table, standard[1]) for table in tables[1:]
    )
    if exact:
        return float(quality), f"q{quality}"
    digest = hashlib.blake2b(repr(sorted(quantization.items())).encode(), digest_size=3)
    return float(quality), f"tables {digest.hexdigest()}"
