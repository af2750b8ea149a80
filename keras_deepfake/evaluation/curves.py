"""ROC, precision-recall and reliability curves of plain arrays, for pictures and thresholds.

The points are scikit-learn's; every function takes what `check_truth_and_scores` takes.
"""

import numpy as np
from sklearn import metrics

from keras_deepfake._arguments import MOST_PLACES, check_integer
from keras_deepfake._pixels import to_numpy

# Bins of the expected calibration error and of the reliability diagram.
NUM_BINS = 15


def check_truth_and_scores(is_fake, scores):
    """Return `is_fake` as a boolean array and `scores` as float64, or say what is wrong."""
    is_fake, scores = to_numpy(is_fake, "is_fake"), to_numpy(scores, "scores")
    for name, array in (("is_fake", is_fake), ("scores", scores)):
        if array.ndim != 1:
            raise ValueError(
                f"`{name}` must have one dimension, one value an image; got shape {array.shape}. "
                "Of a two-column softmax or one-hot array take the column of the fake class."
            )
        # NumPy calls bfloat16 a void.
        if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
            raise ValueError(f"`{name}` must be an array of numbers; got dtype {array.dtype}.")
    if len(is_fake) != len(scores):
        raise ValueError(
            "`is_fake` and `scores` must have one value for each image; got "
            f"{len(is_fake)} and {len(scores)}."
        )
    if len(is_fake) == 0:
        raise ValueError("`is_fake` and `scores` are empty: there is nothing to evaluate.")
    wrong = ~np.isin(is_fake, (0, 1))
    if wrong.any():
        raise ValueError(
            "`is_fake` must be 1 or True (fake), 0 or False (real); got "
            f"{is_fake[wrong][0]} at position {np.flatnonzero(wrong)[0]}."
        )
    scores = scores.astype("float64")
    wrong = ~np.isfinite(scores)
    if wrong.any():
        raise ValueError(
            f"`scores` must be finite; got {scores[wrong][0]} at position "
            f"{np.flatnonzero(wrong)[0]} ({wrong.sum()} such values in all)."
        )
    wrong = (scores < 0) | (scores > 1)
    if wrong.any():
        raise ValueError(
            "`scores` must be probabilities of the fake class, from 0 to 1; got "
            f"{scores[wrong][0]} at position {np.flatnonzero(wrong)[0]}. Turn logits into "
            "probabilities by a sigmoid or softmax first."
        )
    is_fake = is_fake.astype(bool)
    if is_fake.all() or not is_fake.any():
        raise ValueError(
            "`is_fake` must hold both classes, fakes and reals; all "
            f"{len(is_fake)} images are {'fake' if is_fake[0] else 'real'}."
        )
    return is_fake, scores


def roc_curve(is_fake, scores):
    """Return `(false_positive_rates, true_positive_rates, thresholds)`, thresholds falling.

    There is one point for each distinct score, at which an image is called fake from this score
    on, and a first one at `inf`, at which none is. Equal scores form one point, so that the area
    under straight lines is the chance that a fake scores above a real, ties counted by half.

    Reference:
        [Fawcett, 2006](https://doi.org/10.1016/j.patrec.2005.10.010)
    """
    is_fake, scores = check_truth_and_scores(is_fake, scores)
    return metrics.roc_curve(is_fake, scores, drop_intermediate=False)


def precision_recall_curve(is_fake, scores):
    """Return `(precision, recall, thresholds)` of the fake class, thresholds rising.

    Precision and recall have one value more than the thresholds: the end point 1 and 0, at which
    no image is called fake.

    Reference:
        [Davis and Goadrich, 2006](https://doi.org/10.1145/1143844.1143874)
    """
    is_fake, scores = check_truth_and_scores(is_fake, scores)
    return metrics.precision_recall_curve(is_fake, scores)


def reliability_curve(is_fake, scores, num_bins=NUM_BINS):
    """Return `(mean_score, fraction_fake, count)` of bins that hold equally many images.

    Equal scores are never parted, so that many ties make some bins larger and leave others empty,
    which are left out. The expected calibration error is the mean of
    `abs(fraction_fake - mean_score)` weighted by `count`.

    Reference:
        [Nguyen and O'Connor, 2015](https://aclanthology.org/D15-1182/)
    """
    is_fake, scores = check_truth_and_scores(is_fake, scores)
    num_bins = check_integer("num_bins", num_bins, 1, MOST_PLACES)
    # Equal scores share the bin of their mid-rank, twice which keeps the arithmetic in integers.
    _, places, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    bins = ((2 * np.cumsum(sizes) - sizes) * num_bins // (2 * len(scores)))[places]
    count = np.bincount(bins, minlength=num_bins)
    used = count > 0
    count = count[used]
    mean_score = np.bincount(bins, weights=scores, minlength=num_bins)[used] / count
    fraction_fake = np.bincount(bins, weights=is_fake, minlength=num_bins)[used] / count
    return mean_score, fraction_fake, count
