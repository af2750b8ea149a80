"""What a file is by its header, who decodes it, and the reading of those that Pillow decodes."""

import contextlib
import io
import os
import stat
import struct
import threading

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

from keras_deepfake._pillow_images import MAX_FILE_BYTES, MAX_PIXELS, open_image

# Who decodes a file: TensorFlow the ordinary ones, Pillow what TensorFlow reads wrongly or not
# at all (EXIF rotation, CMYK, 16 bits, the other formats).
JPEG, PNG, PILLOW = range(3)

_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
# Markers of JPEG: frames, quantization tables, other segments that say nothing of how pixels are
# to be read, and the start of the scan.
_FRAMES, _TABLES, _PLAIN_SEGMENTS, _SCAN = (0xC0, 0xC2), 0xDB, (0xC4, 0xDD, 0xE0, 0xFE), 0xDA
# What is read to find them.
_START_BYTES = 2**13
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
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")  # to open a pipe would wait for its other end
        with open(path, "rb", buffering=0) as file:
            start = file.read(_START_BYTES)
            if not start:
                raise ValueError("zero bytes")
            size = _plain_jpeg_size(start)
            if size and size[0] * size[1] <= MAX_PIXELS and status.st_size <= MAX_FILE_BYTES:
                file.seek(-len(_JPEG_END), os.SEEK_END)
                if file.read() == _JPEG_END:
                    return *size, JPEG
            with io.BufferedReader(file) as buffered:
                return _inspect(buffered)
    except ValueError:
        raise
    except UnidentifiedImageError as error:
        if start.startswith((_JPEG_START, b"\x89PNG")):
            raise ValueError("truncated or damaged") from error
        raise ValueError("not an image") from error
    # Pillow reports damage as OSError, SyntaxError, EOFError, struct.error and others.
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ValueError(f"unreadable: {error.strerror}") from error
        raise ValueError(f"truncated or damaged: {error}") from error


def _plain_jpeg_size(start):
    """Height and width of a JPEG of grey or YCbCr without metadata, by its first bytes.

    Most files of data sets are such, and Pillow takes several times as long. `None` leaves
    everything else to it: what may hold an orientation or other colours, and what looks damaged.

    Reference: [ITU-T T.81, annex B](https://www.w3.org/Graphics/JPEG/itu-t81.pdf)
    """
    if not start.startswith(_JPEG_START):
        return None
    position, size = 2, None
    while position + 12 <= len(start) and start[position] == 0xFF:
        marker, length = struct.unpack_from(">BH", start, position + 1)
        end = position + 2 + length
        if marker == _SCAN:
            return size if end <= len(start) else None
        if marker in _FRAMES and size is None:
            depth, *size, channels = struct.unpack_from(">BHHB", start, position + 4)
            if depth != 8 or channels not in (1, 3) or length != 8 + 3 * channels or 0 in size:
                return None
        elif marker == _TABLES:  # each of 8 bits, by its number
            if length % 65 != 2 or any(number > 3 for number in start[position + 4 : end : 65]):
                return None
        elif marker not in _PLAIN_SEGMENTS or length < 2:
            return None
        position = end
    return None


def _inspect(file):
    with open_image(file) as image:
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


def _size(file):
    return os.fstat(file.fileno()).st_size


def _contents(file):
    file.seek(0)
    return file.read()


def _orientation(image):
    return image.getexif().get(_ORIENTATION, 1)


def read_with_pillow(file):
    """Reads an open file into a uint8 array of shape `(height, width, 3)`."""
    with open_image(file) as image, MEMORY.taking(image.width * image.height):
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
