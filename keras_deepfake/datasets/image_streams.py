"""Many image files, one after the other, read in threads."""

import collections
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_deepfake.datasets._inspection import inspect_image
from keras_deepfake.datasets.image_files import read_pixels
from keras_deepfake.datasets.image_resizing import resize_images

# Decoding and resizing run outside Python's lock.
_THREADS = max(2, min(8, os.cpu_count() or 2))
# Files that one thread reads at a time.
_FILES = 16
# Of images that are resized together.
_VALUES = 2**23


def stream_images(paths, image_size=None, headers=None):
    """Yields the images of files in the order of the paths, as `load_image` reads them.

    Args:
        paths: Sequence of strings.
        image_size: `(height, width)` to resize to; `None` keeps the sizes of the files.
        headers: Sequence of what `inspect_image` returns for each file, `None` where that is not
            known; `None` for none at all.

    Yields:
        Pairs of a position in `paths` and a float32 array `(height, width, 3)` in [0, 1]. The
        positions of files that cannot be read are left out.
    """
    headers = [None] * len(paths) if headers is None else headers
    # Images that keep their size may be of any size: as few of them as possible are held.
    size = 1 if image_size is None else _FILES
    pending = collections.deque()
    pool = ThreadPoolExecutor(_THREADS)
    try:
        for start in range(0, len(paths), size):
            part = range(start, min(start + size, len(paths)))
            pending.append(pool.submit(_read, paths, image_size, headers, part))
            if len(pending) > 2 * _THREADS:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read(paths, image_size, headers, part):
    """A list of the pairs of one part of the positions."""
    decoded = _decode(paths, headers, part)
    if image_size is None:
        return [(position, pixels / np.float32(255)) for position, pixels in decoded]
    # Neighbours of one size are resized together, outside Python's lock for longer.
    pairs = []
    for neighbours in _neighbours(decoded):
        positions, images = zip(*neighbours, strict=True)
        pairs += zip(positions, resize_images(np.stack(images), image_size), strict=True)
    return pairs


def _decode(paths, headers, part):
    for position in part:
        path = paths[position]
        try:
            header = headers[position] or inspect_image(path)
            pixels = np.asarray(read_pixels(path, *header))
        except ValueError:
            continue
        yield position, pixels


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
