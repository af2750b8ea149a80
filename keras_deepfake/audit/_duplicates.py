"""Copies among images: of the same bytes or pixels, and re-encoded or resized."""

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# Of aligned faces of different people the most alike correlate at .85, and copies saved as JPEG
# of quality 30, or shrunk to a quarter, at .97 and more. Copies of tiny images lie lower.
_MIN_CORRELATION = 0.94
# The same after subtracting what all pictures of the set share; needs enough of them.
_MIN_CENTRED_CORRELATION = 0.9
_MIN_IMAGES_TO_CENTRE = 10
# What encoding and resizing change is also small in grey levels. Two samples of nearly the same
# code of a generator correlate as copies of tiny images do, and differ by more.
_MAX_DIFFERENCE = 5.0
_CERTAIN_CORRELATION = 0.985
_WINDOW = 7


def exact_copies(traits):
    """Sets of files with the same bytes or the same pixels, as an integer for each file."""
    pairs = []
    for hashes in ([t.file_hash for t in traits], [t.pixel_hash for t in traits]):
        first = {}
        pairs += [(first.setdefault(value, i), i) for i, value in enumerate(hashes)]
    return connected_sets(pairs, len(traits))


def connected_sets(pairs, count):
    """Integer for each of `count` members, equal where a chain of pairs connects them."""
    i, j = np.array(pairs, dtype=int).reshape(-1, 2).T
    links = coo_array((np.ones(len(i)), (i, j)), shape=(count, count))
    return connected_components(links, directed=False)[1]


def similar_pairs(thumbnails, block_size=1024):
    """Yield pairs of images that are the same picture, re-encoded or resized.

    Pictures are compared at 32 x 32 by the correlation of what is left after subtracting a
    local mean of 7 x 7, and of what is left after subtracting the mean picture of the set as
    well: lighting, alignment and a common background do not make different faces copies.
    Cropped, rotated and mirrored copies are not found.

    Args:
        thumbnails: uint8 array `(images, 32, 32)`.
        block_size: Images that are compared to all others at once.

    Yields:
        Integer arrays `(i, j)` of one length, with `i < j`.
    """
    details = np.concatenate(
        [
            _details(thumbnails[start : start + block_size])
            for start in range(0, len(thumbnails), block_size)
        ]
    )
    contrast = details.std(axis=1)
    vectors = _unit_length(details)
    centred = vectors
    if len(vectors) >= _MIN_IMAGES_TO_CENTRE:
        centred = _unit_length(vectors - vectors.mean(axis=0))
    for start in range(0, len(vectors), block_size):
        rows, rest = slice(start, start + block_size), slice(start, None)
        correlation = vectors[rows] @ vectors[rest].T
        similar = correlation >= _MIN_CORRELATION
        similar &= centred[rows] @ centred[rest].T >= _MIN_CENTRED_CORRELATION
        i, j = np.nonzero(similar)
        correlation, i, j = correlation[i, j], i + start, j + start
        # Standard deviation of what the one lacks to be a linear function of the other.
        difference = np.maximum(contrast[i], contrast[j]) * np.sqrt(
            np.maximum(1 - correlation**2, 0)
        )
        copy = (correlation >= _CERTAIN_CORRELATION) | (difference <= _MAX_DIFFERENCE)
        copy &= i < j
        yield i[copy], j[copy]


def _details(thumbnails):
    """High-passed thumbnails as vectors."""
    levels = thumbnails.astype("float32")
    means = uniform_filter(levels, (1, _WINDOW, _WINDOW), mode="mirror")
    vectors = (levels - means).reshape(len(levels), -1)
    return vectors - vectors.mean(axis=1, keepdims=True)


def _unit_length(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
