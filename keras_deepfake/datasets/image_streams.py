"""Many image files, one after the other, read in threads."""

import collections
import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_deepfake.datasets._inspection import inspect_image
from keras_deepfake.datasets.image_files import convert_image, read_pixels
from keras_deepfake.datasets.image_resizing import resize_images

# Decoding and resizing run outside Python's lock.
_THREADS = max(2, min(8, os.cpu_count() or 2))
# Files that one thread reads at a time.
_FILES = 16
# Of images that are resized together.
_VALUES = 2**23


def stream_images(files, image_size=None):
    """Yields the images of files in their order, as `load_image` reads them.

    Args:
        files: Iterable of pairs of a path and what `inspect_image` returns for it, `None` where
            that is not known. It is asked for few files more than are read at a time.
        image_size: `(height, width)` to resize to; `None` keeps the sizes of the files.

    Yields:
        Float32 arrays `(height, width, 3)` in [0, 1]; `None` for files that cannot be read.
    """
    # Images that keep their size may be of any size: as few of them as possible are held.
    size = 1 if image_size is None else _FILES
    files, pending = iter(files), collections.deque()
    pool = ThreadPoolExecutor(_THREADS)
    try:
        while part := list(itertools.islice(files, size)):
            pending.append(pool.submit(_read, part, image_size))
            if len(pending) > 2 * _THREADS:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read(files, image_size):
    """A list of the images of some files."""
    images = [None] * len(files)
    if image_size is None:
        for place, pixels in _decode(files):
            images[place] = convert_image(pixels, None)
        return images
    # Neighbours of one size are resized together, outside Python's lock for longer.
    for neighbours in _neighbours(_decode(files)):
        places, pixels = zip(*neighbours, strict=True)
        for place, image in zip(places, resize_images(np.stack(pixels), image_size), strict=True):
            images[place] = image
    return images


def _decode(files):
    """Yields pairs of the place and the pixels of each file that can be read."""
    for place, (path, header) in enumerate(files):
        try:
            yield place, np.asarray(read_pixels(path, *(header or inspect_image(path))))
        except ValueError:
            continue


def _neighbours(pairs):
    """Yields lists of pairs whose images have one size: few of large images, or only one."""
    waiting = []
    for position, pixels in pairs:
        if waiting and waiting[0][1].shape != pixels.shape:
            yield waiting
            waiting = []
        waiting.append((position, pixels))
        if (len(waiting) + 1) * pixels.size > _VALUES:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
