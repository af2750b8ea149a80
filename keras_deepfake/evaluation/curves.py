"""ROC, precision-recall and reliability curves, exact, on plain arrays."""

import numpy as np

# Bins of the expected calibration error and of the reliability diagram.
NUM_BINS = 15


def check_labels_and_scores(labels, scores):
    """Return `labels` as a boolean array and `scores` as float64, or say what is wrong."""
    labels, scores = np.asarray(labels), np.asarray(scores)
    for name, array in (("labels", labels), ("scores", scores)):
        if array.ndim != 1:
            raise ValueError(
                f"`{name}` must have one dimension, one value an image; got shape {array.shape}. "
                "Of a two-column softmax or one-hot array take the column of the fake class."
            )
        if array.dtype.kind not in "biuf":
            raise ValueError(f"`{name}` must be numbers; got an array of dtype {array.dtype}.")
    if len(labels) != len(scores):
        raise ValueError(
            "`labels` and `scores` must have one value for each image; got "
            f"{len(labels)} labels and {len(scores)} scores."
        )
    if len(labels) == 0:
        raise ValueError("`labels` and `scores` are empty: there is nothing to evaluate.")
    wrong = ~np.isin(labels, (0, 1))
    if wrong.any():
        raise ValueError(
            "`labels` must be 1 (fake) or 0 (real); got "
            f"{labels[wrong][0]} at position {np.flatnonzero(wrong)[0]}."
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
    labels = labels.astype(bool)
    if labels.all() or not labels.any():
        raise ValueError(
            "`labels` must hold both classes, 1 (fake) and 0 (real); all "
            f"{len(labels)} images are {'fake' if labels[0] else 'real'}."
        )
    return labels, scores


def _counts_above(labels, scores):
    """Distinct scores in falling order, and the fakes and reals scored at least that high."""
    order = np.argsort(-scores, kind="stable")
    labels, scores = labels[order], scores[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    true_positives = np.cumsum(labels)[last]
    return scores[last], true_positives, last + 1 - true_positives


def roc_curve(labels, scores):
    """Receiver operating characteristic, one point for each distinct score.

    An image counts as called fake at a threshold when its score is at least the threshold.
    Equal scores form one point, so the area under the linear interpolation of the points is
    the probability that a fake scores above a real, ties counted by half.

    Args:
        labels: 1-D array, 1 for a fake image and 0 for a real one.
        scores: 1-D array of the same length, the probability of being fake, in [0, 1].

    Returns:
        A tuple `(false_positive_rates, true_positive_rates, thresholds)` of float64 arrays of
        one length. Thresholds fall; the first is `inf`, at which no image is called fake. The
        points are those of scikit-learn's `roc_curve` with `drop_intermediate=False`.

    Raises:
        ValueError: for empty arrays or arrays of different lengths, labels other than 0 and 1,
            one class only, and scores that are not finite or outside [0, 1].

    Example:
    ```python
    false_positive_rates, true_positive_rates, thresholds = kd.evaluation.roc_curve(
        [1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1]
    )
    ```

    Reference:
        [Fawcett, 2006](https://doi.org/10.1016/j.patrec.2005.10.010)
    """
    labels, scores = check_labels_and_scores(labels, scores)
    thresholds, true_positives, false_positives = _counts_above(labels, scores)
    return (
        np.append(0.0, false_positives / false_positives[-1]),
        np.append(0.0, true_positives / true_positives[-1]),
        np.append(np.inf, thresholds),
    )


def precision_recall_curve(labels, scores):
    """Precision and recall of the fake class, one point for each distinct score.

    Args:
        labels: 1-D array, 1 for a fake image and 0 for a real one.
        scores: 1-D array of the same length, the probability of being fake, in [0, 1].

    Returns:
        A tuple `(precision, recall, thresholds)` of float64 arrays. Thresholds rise; precision
        and recall have one value more, the end point 1 and 0 at which no image is called fake.
        The points are those of scikit-learn's `precision_recall_curve`.

    Raises:
        ValueError: as `roc_curve`.

    Example:
    ```python
    precision, recall, thresholds = kd.evaluation.precision_recall_curve(
        [1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1]
    )
    ```

    Reference:
        [Davis and Goadrich, 2006](https://doi.org/10.1145/1143844.1143874)
    """
    labels, scores = check_labels_and_scores(labels, scores)
    thresholds, true_positives, false_positives = _counts_above(labels, scores)
    precision = true_positives / (true_positives + false_positives)
    recall = true_positives / true_positives[-1]
    return np.append(precision[::-1], 1.0), np.append(recall[::-1], 0.0), thresholds[::-1]


def equal_mass_bins(scores, num_bins):
    """Number of the equal-mass bin of each score; equal scores share the bin of their mid-rank."""
    if num_bins < 1:
        raise ValueError(f"`num_bins` must be at least 1; got {num_bins}.")
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)
    # Twice the middle of the ranks keeps the arithmetic in integers.
    bins = (2 * ends - sizes) * num_bins // (2 * len(scores))
    return bins[group]


def reliability_curve(labels, scores, num_bins=NUM_BINS):
    """Share of fakes against mean score, in bins that hold equally many images.

    A calibrated detector's points lie on the diagonal. Scores are ranked and cut into
    `num_bins` bins of equal size; equal scores are never parted, so that many ties make some
    bins larger and leave others empty. Empty bins are left out.

    Args:
        labels: 1-D array, 1 for a fake image and 0 for a real one.
        scores: 1-D array of the same length, the probability of being fake, in [0, 1].
        num_bins: Integer, number of bins.

    Returns:
        A tuple `(mean_score, fraction_fake, count)` of arrays with one value for each bin that
        holds images, in order of rising score. The expected calibration error is the mean of
        `abs(fraction_fake - mean_score)` weighted by `count`.

    Raises:
        ValueError: as `roc_curve`, and for `num_bins` below 1.

    Example:
    ```python
    mean_score, fraction_fake, count = kd.evaluation.reliability_curve(
        [1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1], num_bins=2
    )
    ```

    Reference:
        [Nguyen and O'Connor, 2015](https://aclanthology.org/D15-1182/)
    """
    labels, scores = check_labels_and_scores(labels, scores)
    bins = equal_mass_bins(scores, num_bins)
    count = np.bincount(bins, minlength=num_bins)
    used = count > 0
    count = count[used]
    mean_score = np.bincount(bins, weights=scores, minlength=num_bins)[used] / count
    fraction_fake = np.bincount(bins, weights=labels, minlength=num_bins)[used] / count
    return mean_score, fraction_fake, count
