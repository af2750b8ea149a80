"""Class-conditional conformal sets: which classes an image may be of, and when that is unclear."""

import math

import numpy as np

from keras_deepfake._arguments import check_number, check_pair

# The verdict on an image whose set does not hold exactly one class.
UNSURE = "unsure"
# How far rounding on another machine may move a score.
_ROUNDING = 1e-6


def check_bounds(value):
    """Return the bounds of conformal sets as two floats in [0, 1], or `None`."""
    if value is None:
        return None
    return check_pair("conformal_bounds", value, lambda name, part: check_number(name, part, 0, 1))


def conformal_sets(scores, bounds):
    """Which images may be fake and which may be real: two boolean arrays.

    Args:
        scores: Array of P(fake).
        bounds: `(lowest_fake, highest_real)`: an image may be fake where its score is at least
            the first, and real where it is at most the second. It may be both, or neither.
    """
    lowest_fake, highest_real = bounds
    scores = np.asarray(scores, "float64")
    return scores >= lowest_fake, scores <= highest_real


def name_verdicts(scores, class_names, fake_index, threshold, bounds):
    """The verdict on each score, as an array of strings.

    Args:
        scores: Array of P(fake).
        class_names: Two strings.
        fake_index: Which of them is fake.
        threshold: The score from which on the verdict is fake, where there are no bounds.
        bounds: Those of conformal sets, or `None`.
    """
    names = np.array((class_names[fake_index], class_names[1 - fake_index], UNSURE))
    # NumPy would round a threshold to the float32 of the scores.
    scores = np.asarray(scores, "float64")
    if bounds is None:
        return names[np.where(scores >= threshold, 0, 1)]
    may_be_fake, may_be_real = conformal_sets(scores, bounds)
    return names[np.where(may_be_fake == may_be_real, 2, np.where(may_be_fake, 0, 1))]


def fit_bounds(is_fake, scores, miscoverage, views=1):
    """The bounds whose sets lack the true class of a new image with at most this probability.

    The p-value of a class is the rank of the new score among the n known ones of that class,
    counted from the end of the other class, divided by n + 1. It is above the miscoverage α up to
    the k-th score from that end, k = ⌊α (n + 1)⌋, so that one order statistic of each class says
    everything. Both are moved outwards by what rounding may do.

    Args:
        is_fake: Booleans, shape `(images,)`.
        scores: Array of P(fake), of the same shape.
        miscoverage: Float in (0, 1).
        views: Integer, how many of the scores are of one image.

    Returns:
        `(lowest_fake, highest_real)`, as `conformal_sets` takes them.

    Raises:
        ValueError: If a class has too few images for the miscoverage.

    Reference:
        Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005, chapter 4
        (Mondrian predictors);
        [Sadinle, Lei and Wasserman, 2019](https://doi.org/10.1080/01621459.2017.1395341).
    """
    fakes, reals = np.sort(scores[is_fake]), np.sort(scores[~is_fake])[::-1]
    fake_rank = rank_at_rate("abstain", miscoverage, len(fakes) // views, "fake", views)
    real_rank = rank_at_rate("abstain", miscoverage, len(reals) // views, "real", views)
    lowest_fake, highest_real = fakes[fake_rank - 1] - _ROUNDING, reals[real_rank - 1] + _ROUNDING
    return max(float(lowest_fake), 0.0), min(float(highest_real), 1.0)


def rank_at_rate(name, rate, count, kind, views=1):
    """The number of scores of `count` images that a new one is beyond at this rate, or less often.

    It is ⌊rate (count + 1)⌋ of one score an image. Of several views of each, ⌊rate (count + 1)
    views⌋ - (views - 1): beside a new score there are views - 1 others of its image, which may be
    beyond it too, among (count + 1) views that are exchangeable image by image.
    """
    # Rounded, lest 0.07 * 100 = 7.000000000000001 and its like decide.
    rank = math.floor(round(rate * (count + 1) * views, 9)) - (views - 1)
    if rank < 1:
        raise ValueError(
            f"`{name}`={rate} needs at least {math.ceil(round(1 / rate, 9)) - 1} {kind} images to "
            f"calibrate on; there are {count}."
        )
    return min(rank, count * views)
