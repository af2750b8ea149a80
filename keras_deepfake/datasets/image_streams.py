"""Many image files, one after the other, read in threads."""

import collections
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_deepfake.datasets._inspection import PILLOW, inspect_image
from keras_deepfake.datasets.image_files import read_pixels, read_pixels_of_many
from keras_deepfake.datasets.image_resizing import resize_images

# Decoding and resizing run outside Python's lock; on two cores a third thread fills their waits.
_THREADS = max(3, min(8, os.cpu_count() or 2))
# Files that one thread reads at a time.
_FILES = 32
# Of images that are decoded and resized together.
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
    pending = collections.deque()
    pool = ThreadPoolExecutor(_THREADS)
    try:
        for part in _parts(files, image_size):
            pending.append(pool.submit(_read, part, image_size))
            if len(pending) > 2 * _THREADS:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _parts(files, image_size):
    """Yields lists of files that one thread reads at a time: few of large images."""
    part, values = [], 0
    if image_size is None:
        # They keep their size, which may be any: as few as possible are held.
        most, least, guess = _VALUES // 8, 0, lambda path: _VALUES
    else:
        most, least, guess = _VALUES, 3 * image_size[0] * image_size[1], _guess_values
    for path, header in files:
        part.append((path, header))
        values += max(least, guess(path) if header is None else 3 * header[0] * header[1])
        if len(part) == _FILES or values >= most:
            yield part
            part, values = [], 0
    if part:
        yield part


def _guess_values(path):
    """How many values the image of a file may have, by its bytes."""
    try:
        return 8 * os.path.getsize(path)
    except (OSError, ValueError):  # reading it says why
        return 0


def _read(files, image_size):
    """A list of the images of some files."""
    images = [None] * len(files)
    for places, pixels in _decode(files):
        # Neighbours of one size are resized together, outside Python's lock for longer.
        for place, image in zip(places, resize_images(pixels, image_size), strict=True):
            images[place] = image
    return images


def _decode(files):
    """Yields places, and arrays `(images, height, width, 3)` of those that can be read."""
    for places, paths, headers in _neighbours(files):
        if len(paths) > 1 and headers[0][2] != PILLOW:
            arrays, start = read_pixels_of_many(paths, headers), 0
            for pixels in arrays:
                yield places[start : start + len(pixels)], pixels
                start += len(pixels)
            if arrays:
                continue
        for place, path, header in zip(places, paths, headers, strict=True):
            try:
                yield [place], np.asarray(read_pixels(path, *header))[None]
            except ValueError:
                continue


def _neighbours(files):
    """Yields places, paths and headers of files of one decoder that are small, or of one file."""
    waiting, values = [], 0
    for place, (path, header) in enumerate(files):
        try:
            header = tuple(header or inspect_image(path))
        except ValueError:
            continue
        size = 3 * header[0] * header[1]
        if waiting and (header[2] != waiting[0][2][2] or values + size > _VALUES):
            yield tuple(zip(*waiting, strict=True))
            waiting, values = [], 0
        waiting.append((place, path, header))
        values += size
    if waiting:
        yield tuple(zip(*waiting, strict=True))
