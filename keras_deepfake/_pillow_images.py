"""Opening files with Pillow, within limits of this library, whatever other code has set in it."""

import contextlib
import os
import threading

from PIL import Image, ImageFile

# A few kilobytes can hold an image that fills the memory when decoded.
MAX_PIXELS = 2**26
MAX_SIDE = 2**16 - 1
MAX_FILE_BYTES = 2**28

# The formats behind `EXTENSIONS`, so that no other plugin of Pillow is handed a file.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")


@contextlib.contextmanager
def open_image(file):
    """Open the image of a file, real or in memory, that is open; from its start.

    Raises:
        ValueError: If the file or its image is too large to be decoded safely.
        Exception: Of whatever kind Pillow has for a file that it cannot read.
    """
    size = file.seek(0, os.SEEK_END)
    if size > MAX_FILE_BYTES:
        raise ValueError(f"too large to be decoded safely: {size} bytes")
    file.seek(0)
    with _PILLOW_DEFAULTS, Image.open(file, formats=_FORMATS) as image:
        if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
            raise ValueError(
                f"too large to be decoded safely: {image.width} x {image.height} pixels"
            )
        yield image


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
