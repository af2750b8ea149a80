"""What a file is by its header, who decodes it, and the reading of those that Pillow decodes."""

import contextlib
import os
import stat
import threading

import numpy as np
import tensorflow as tf
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

# Who decodes a file: TensorFlow the ordinary ones, Pillow what TensorFlow reads wrongly or not
# at all (EXIF rotation, CMYK, 16 bits, the other formats).
JPEG, PNG, PILLOW = range(3)

# A few kilobytes can hold an image that fills the memory when decoded.
MAX_PIXELS = 2**26
MAX_SIDE = 2**16 - 1
MAX_FILE_BYTES = 2**28

# The formats behind `EXTENSIONS`, so that no other plugin of Pillow is handed a file.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
_JPEG_END = b"\xff\xd9"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_ORIENTATION = 0x0112
_PNG_BIT_DEPTH = 24  # position of the byte
# What a PNG holds its orientation in; Pillow would decode the whole file to look for it.
_PNG_ROTATION = (b"eXIf", b"XML:com.adobe.xmp", b"Raw profile type exif")


def inspect_image(path):
    """Checks a file without decoding it where its format allows that.

    Returns:
        `(height, width, decoder)`: the size after the EXIF orientation, and who decodes it.

    Raises:
        ValueError: With the reason, without the path, if the file cannot be used.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("not a regular file")  # to open a pipe would wait for its other end
        with open(path, "rb") as file:
            start = file.read(4)
            if not start:
                raise ValueError("zero bytes")
            return _inspect(file)
    except ValueError:
        raise
    except UnidentifiedImageError as error:
        if start.startswith((b"\xff\xd8\xff", b"\x89PNG")):
            raise ValueError("truncated or damaged") from error
        raise ValueError("not an image") from error
    # Pillow reports damage as OSError, SyntaxError, EOFError, struct.error and others.
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ValueError(f"unreadable: {error.strerror}") from error
        raise ValueError(f"truncated or damaged: {error}") from error


def _inspect(file):
    with _PILLOW_DEFAULTS, _open_image(file) as image:
        with MEMORY.taking(_size(file)):
            decoder = _choose_decoder(file, image)
        if decoder != PILLOW:
            return image.height, image.width, decoder
    return *read_with_pillow(file).shape[:2], PILLOW


def _choose_decoder(file, image):
    if image.format == "JPEG":
        file.seek(-len(_JPEG_END), os.SEEK_END)
        if file.read() != _JPEG_END:
            # Some cameras append data of their own after the end marker.
            contents = _contents(file)
            if contents.find(_JPEG_END, contents.rfind(b"\xff\xda")) < 0:
                raise ValueError("truncated")
        elif image.mode in ("L", "RGB") and _orientation(image) == 1:
            return JPEG
    elif image.format == "PNG":
        contents = _contents(file)
        if _PNG_END not in contents:
            raise ValueError("truncated")
        if contents[_PNG_BIT_DEPTH] <= 8 and not any(m in contents for m in _PNG_ROTATION):
            image.verify()
            return PNG
    return PILLOW


def _open_image(file):
    if _size(file) > MAX_FILE_BYTES:
        raise ValueError(f"too large to be decoded safely: {_size(file)} bytes")
    file.seek(0)
    image = Image.open(file, formats=_FORMATS)
    if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
        raise ValueError(f"too large to be decoded safely: {image.width} x {image.height} pixels")
    return image


def _size(file):
    return os.fstat(file.fileno()).st_size


def _contents(file):
    file.seek(0)
    return file.read()


def _orientation(image):
    return image.getexif().get(_ORIENTATION, 1)


def read_with_pillow(file):
    """Reads an open file into a uint8 array of shape `(height, width, 3)`."""
    with (
        _PILLOW_DEFAULTS,
        _open_image(file) as image,
        MEMORY.taking(image.width * image.height),
    ):
        orientation = _orientation(image)
        if image.format == "PNG" and _contents(file)[_PNG_BIT_DEPTH] == 16:
            # Pillow would keep only the high byte of colour, and clip grey.
            with tf.device("CPU:0"):
                deep = tf.io.decode_png(_contents(file), channels=3, dtype="uint16").numpy()
            image = Image.fromarray(_eight_bits(deep))
            image.getexif()[_ORIENTATION] = orientation
        if orientation != 1:
            image = ImageOps.exif_transpose(image)
        if image.mode in ("I", "F"):
            raise ValueError(f"32-bit pixels (mode {image.mode!r}) have no defined range")
        if image.mode.startswith("I;16"):
            image = Image.fromarray(_eight_bits(np.asarray(image)))
        elif image.mode in ("P", "PA"):
            # Pillow warns of a palette with transparency unless it goes through RGBA.
            image = image.convert("RGBA")
        return np.array(image.convert("RGB"))


def _eight_bits(pixels):
    scaled = np.empty(pixels.shape, "uint8")
    # Row by row, as the quotients take four times the memory of the pixels.
    for row, deep in zip(scaled, pixels, strict=True):
        row[...] = np.round(deep / 257)
    return scaled


class _Memory:
    """Lets threads decode side by side as long as their images together are not too large."""

    def __init__(self, total):
        self.total = self.free = total
        self.changed = threading.Condition()

    @contextlib.contextmanager
    def taking(self, amount):
        """Waits for its turn; not to be nested, as two that wait for more would wait for ever."""
        amount = min(amount, self.total)
        with self.changed:
            self.changed.wait_for(lambda: self.free >= amount)
            self.free -= amount
        try:
            yield
        finally:
            with self.changed:
                self.free += amount
                self.changed.notify_all()


MEMORY = _Memory(MAX_PIXELS)


class _PillowDefaults:
    """Pillow's settings as reading needs them while any thread reads, then as they were.

    They are globals of Pillow, and it takes them from nowhere else.
    """

    def __init__(self):
        self.lock = threading.Lock()
        self.readers = 0

    def __enter__(self):
        with self.lock:
            if not self.readers:
                self.before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
                # `MAX_PIXELS` is checked here instead, without warnings.
                Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
            self.readers += 1

    def __exit__(self, *_):
        with self.lock:
            self.readers -= 1
            if not self.readers:
                Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = self.before


_PILLOW_DEFAULTS = _PillowDefaults()
