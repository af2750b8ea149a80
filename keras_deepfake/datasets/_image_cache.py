"""Decoded images kept from one epoch, or one run, to the next."""

import contextlib
import glob
import hashlib
import io
import os
import threading
import time
import uuid
import warnings
import weakref
import zlib

import numpy as np

from keras_deepfake._arguments import check_path
from keras_deepfake.datasets._batch_memory import empty_batch

# Seconds without a write after which whoever wrote a temporary file was killed: an epoch of
# training writes all the time, and locks mean little on the disks of clusters.
_ABANDONED = 24 * 60 * 60


class ImageCache:
    """Keeps every image of a dataset once it has been read.

    In a folder the images of one dataset are one `.npy` file of records, an image and its
    checksum each, mapped into memory. Its name is a digest of what it was made from, and it is
    written under a temporary name until the last image is in, so that neither a stale nor a
    half-written file is ever served; what a killed process left is removed a day later. Nor is a
    damaged file served: its head and size are compared when it is opened, and every checksum when
    its image is served for the first time in a process.

    Args:
        place: `"memory"` or the path of a folder, which is made if needed.
        paths: Sequence of the image files.
        image_size: Tuple `(height, width)`.
        dtype: `"uint8"` or `"float32"`, what images are kept as: in 0-255, or in [0, 1].
    """

    def __init__(self, place, paths, image_size, dtype):
        self.shape, self.dtype = (len(paths), *image_size, 3), dtype
        self.images = self.file = self.path = None
        self.present = np.zeros(len(paths), "bool")
        self.intact = np.zeros(len(paths), "bool")
        self.lock = threading.Lock()
        if isinstance(place, str) and place == "memory":
            return
        place = os.fspath(check_path("cache", place))
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
        self.digest = digest.hexdigest()[:32]
        self.record = np.dtype([("checksum", "<u4"), ("image", dtype, self.shape[1:])])
        self.head = self._head()
        self.path = os.path.join(place, f"{self.digest}.npy")
        if os.path.exists(self.path):
            self._map()

    def get(self, positions):
        """Returns a batch of images in [0, 1], an empty one if any of them is not there yet."""
        none = np.empty((0, *self.shape[1:]), "float32")
        if not self.present[positions].all():
            return none
        batch = empty_batch((len(positions), *self.shape[1:]), "float32")
        for row, position in zip(batch, positions.tolist(), strict=True):
            if (image := self._get(position)) is None:
                return none
            if self.dtype == "uint8":
                np.divide(image, np.float32(255), out=row)
            else:
                row[...] = image
        return batch

    def _get(self, position):
        with self.lock:
            if self.path is None:
                return self.images[position]
            if self.images is None:
                return self._read_back(position)
            checksum, image = self.images[position]
        if not self.intact[position]:
            if self._checksum(position, image) != checksum:
                self.present[position] = False
                self._warn("a checksum differs")
                return None
            self.intact[position] = True
        return image

    def put(self, positions, batch):
        """Keeps a batch of images; the last one completes the file."""
        with self.lock:
            for position, image in zip(positions.tolist(), batch, strict=True):
                # Two passes at a time may both have read it.
                if not self.present[position]:
                    self._put(position, image)
        return np.bool_(True)

    def _put(self, position, image):
        if self.path is not None:
            self._write(position, image)
            return
        if self.images is None:
            self.images = np.empty(self.shape, self.dtype)
        self.images[position] = image
        self.present[position] = True

    def _write(self, position, image):
        record = np.array((self._checksum(position, image), image), self.record)
        try:
            if self.images is not None:
                # In place of a damaged one.
                with open(self.path, "r+b") as file:
                    self._seek(file, position).write(record)
                self.present[position] = True
                return
            if self.file is None:
                self._begin()
            self._seek(self.file, position).write(record)
            self.present[position] = True
            if self.present.all():
                self._complete()
        except OSError as error:
            raise type(error)(error.errno, f"{error.strerror}, in writing", self.path) from error

    def _begin(self):
        for leftover in glob.glob(f"{glob.escape(self.path)}.*.tmp"):
            with contextlib.suppress(FileNotFoundError):  # of two at a time one removes it
                if time.time() - os.path.getmtime(leftover) > _ABANDONED:
                    os.remove(leftover)
        # Not by `tempfile`, whose files others may not read; nor a map, which Windows does not
        # rename, and which kills the process where the disk is full.
        self.file = open(f"{self.path}.{uuid.uuid4().hex}.tmp", "x+b")  # noqa: SIM115
        weakref.finalize(self, _remove, self.file)
        self.file.write(self.head)

    def _complete(self):
        self.file.close()
        try:
            os.replace(self.file.name, self.path)
        except PermissionError:
            # Windows replaces no file that is mapped, as by another process that was faster; its
            # file holds the same.
            if not os.path.exists(self.path):
                raise
            os.remove(self.file.name)
        self._map()

    def _read_back(self, position):
        file = self._seek(self.file, position)
        return np.frombuffer(file.read(self.record.itemsize), self.record)[0]["image"]

    def _seek(self, file, position):
        file.seek(len(self.head) + position * self.record.itemsize)
        return file

    def _head(self):
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            head,
            {
                "descr": np.lib.format.dtype_to_descr(self.record),
                "fortran_order": False,
                "shape": self.shape[:1],
            },
        )
        return head.getvalue()

    def _map(self):
        size = len(self.head) + self.shape[0] * self.record.itemsize
        with open(self.path, "rb") as file:
            # Not by NumPy's reader, which takes what it finds for Python.
            if file.read(len(self.head)) != self.head or os.path.getsize(self.path) != size:
                self._warn("it has another layout")
                return
            self.images = np.memmap(file, self.record, "r", len(self.head), self.shape[:1])
        self.present[:] = True

    def _warn(self, reason):
        warnings.warn(
            f"The image cache {self.path!r} is damaged ({reason}); what is damaged in it is made "
            "anew.",
            UserWarning,
            stacklevel=2,
        )

    def _checksum(self, position, image):
        # Of an image of this dataset, at this position.
        start = zlib.crc32(f"{self.digest}{position}".encode())
        return zlib.crc32(np.ascontiguousarray(image), start)


def _remove(file):
    with contextlib.suppress(OSError):  # of a full disk, in writing what nobody wants any longer
        file.close()
    if os.path.exists(file.name):
        os.remove(file.name)
