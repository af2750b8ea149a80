"""Resampling of images by group, for intervals and paired comparisons."""

import math

import numpy as np
from scipy.special import ndtr, stdtrit

# Elements of a block of resamples, so that the arrays of a block stay in the processor's cache.
BLOCK_SIZE = 100_000


def resampled_weights(group_numbers, is_fake, num_resamples, seed):
    """Yield blocks of shape `(resamples, images)` that say how often each image is drawn.

    Groups of fakes only, of reals only, and of both are drawn separately, so that no resample
    lacks a class.

    Args:
        group_numbers: Number of the group of each image, from 0 up.
        is_fake: Booleans, true for a fake.
        num_resamples: Number of rows of all blocks together.
        seed: Integer seed.
    """
    num_groups = group_numbers.max() + 1
    fakes = np.bincount(group_numbers, is_fake, num_groups) > 0
    reals = np.bincount(group_numbers, ~is_fake, num_groups) > 0
    strata = [np.flatnonzero(part) for part in (fakes & reals, fakes & ~reals, reals & ~fakes)]
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK_SIZE // len(is_fake))
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


def smaller_class(group_numbers, fakes, reals):
    """Number of groups of the class that has fewer, which is what limits an interval."""
    return min(len(np.unique(group_numbers[images])) for images in (fakes, reals))


def percentile_interval(values, num_groups):
    """95 % expanded percentile interval of the resampled values that are not NaN.

    Of n groups the bootstrap shows (n - 1) / n of the variance, and its percentiles are those of
    a normal distribution where a t distribution is due. Percentiles further out make up for both.

    Reference:
        [Hesterberg, 2015](https://doi.org/10.1080/00031305.2015.1089789)

    Args:
        values: Array of the metric in every resample.
        num_groups: Number of groups; fewer than two give NaN.
    """
    values = values[~np.isnan(values)]
    if len(values) == 0 or num_groups < 2:
        return (math.nan, math.nan)
    freedom = num_groups - 1
    tail = ndtr(-stdtrit(freedom, 0.975) * math.sqrt(num_groups / freedom))
    low, high = np.quantile(values, (tail, 1 - tail), method="weibull")
    return (float(low), float(high))
