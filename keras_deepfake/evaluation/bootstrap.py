"""Resampling of images by group, for intervals and paired comparisons."""

import math

import numpy as np

# Elements of a block of resamples, so that the arrays of a block stay in the processor's cache.
BLOCK_SIZE = 100_000


def resampled_weights(group_numbers, labels, num_resamples, seed):
    """Yield blocks of shape `(resamples, images)` that say how often each image is drawn.

    Groups of fakes only, of reals only, and of both are drawn separately, so that no resample
    lacks a class.

    Args:
        group_numbers: Number of the group of each image, from 0 up.
        labels: Booleans, true for a fake.
        num_resamples: Number of rows of all blocks together.
        seed: Integer seed.
    """
    num_groups = group_numbers.max() + 1
    fakes = np.bincount(group_numbers, labels, num_groups) > 0
    reals = np.bincount(group_numbers, ~labels, num_groups) > 0
    strata = [np.flatnonzero(part) for part in (fakes & reals, fakes & ~reals, reals & ~fakes)]
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK_SIZE // len(labels))
    for start in range(0, num_resamples, block):
        rows = min(block, num_resamples - start)
        drawn = np.zeros((rows, num_groups))
        for stratum in strata:
            size = len(stratum)
            if size > 0:
                places = rng.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
                counts = np.bincount(places.ravel(), minlength=rows * size)
                drawn[:, stratum] = counts.reshape(rows, size)
        yield drawn[:, group_numbers]


def percentile_interval(values):
    """2.5th and 97.5th percentile of the values that are not NaN; NaN when none is left."""
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return (math.nan, math.nan)
    low, high = np.percentile(values, (2.5, 97.5))
    return (float(low), float(high))
