"""Decoded images kept from one epoch, or one run, to the next."""

import hashlib
import os
import threading
import uuid
import weakref

import numpy as np


class ImageCache:
    """Keeps every image of a dataset once it has been read.

    In a folder the images of one dataset are one `.npy` file, mapped into memory. Its name is a
    digest of what it was made from, and it is written under a temporary name until the last
    image is in, so that neither a stale nor a half-written file is ever served.

    Args:
        place: `"memory"` or the path of a folder, which is made if needed.
        paths: Sequence of the image files.
        image_size: Tuple `(height, width)`.
        dtype: `"uint8"` or `"float32"`.
    """

    def __init__(self, place, paths, image_size, dtype):
        self.shape, self.dtype = (len(paths), *image_size, 3), dtype
        self.images = None
        self.present = np.zeros(len(paths), "bool")
        self.lock = threading.Lock()
        if place == "memory":
            self.path = None
            return
        place = os.fspath(place)
        try:
            os.makedirs(place, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f'`cache` must be None, "memory" or the path of a folder; {place!r} cannot be '
                f"made: {error.strerror}."
            ) from error
        digest = hashlib.sha256(repr((self.shape, dtype)).encode())
        for path in paths:
            status = os.stat(path)
            digest.update(
                repr((os.path.abspath(path), status.st_size, status.st_mtime_ns)).encode()
            )
        self.path = os.path.join(place, f"{digest.hexdigest()[:32]}.npy")
        if os.path.exists(self.path):
            self.images = np.load(self.path, mmap_mode="r")
            self.present[:] = True

    def get(self, position):
        """Returns an image, empty if it is not there yet."""
        return self.images[position] if self.present[position] else np.empty(0, self.dtype)

    def put(self, position, image):
        """Keeps an image; the last one completes the file."""
        with self.lock:
            # Two passes at a time may both have read it.
            if self.present[position]:
                return np.bool_(False)
            if self.images is None:
                self._allocate()
            self.images[position] = image
            self.present[position] = True
            if self.path and self.present.all():
                self.images.flush()
                os.replace(self.unfinished, self.path)
        return np.bool_(True)

    def _allocate(self):
        if self.path is None:
            self.images = np.empty(self.shape, self.dtype)
            return
        # Not by `tempfile`, whose files others may not read.
        self.unfinished = f"{self.path}.{uuid.uuid4().hex}.tmp"
        weakref.finalize(self, _remove, self.unfinished)
        images = np.lib.format.open_memmap(
            self.unfinished, mode="w+", dtype=self.dtype, shape=self.shape
        )
        # A mapped file that outgrows the disk would kill the process instead of raising.
        if hasattr(os, "posix_fallocate"):
            with open(self.unfinished, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.path.getsize(self.unfinished))
        self.images = images


def _remove(path):
    if os.path.exists(path):
        os.remove(path)
