"""Every metric of a report, exact, for many weightings of the same images at once."""

import numpy as np

from keras_deepfake._conformal import conformal_sets
from keras_deepfake.evaluation.curves import NUM_BINS


def _divide(numerator, denominator):
    """Quotient, NaN where nothing was counted."""
    return numerator / np.where(denominator > 0, denominator, np.nan)


def _weighted_sum(weights, values):
    # Not `@`: threads of a BLAS library cost more than they gain on blocks of this size.
    return np.einsum("...i,i->...", weights, values.astype("float64"))


def confusion_counts(is_fake, scores, weights, threshold):
    """Fakes called fake, fakes called real, reals called fake, reals called real."""
    called_fake = scores >= threshold
    return [
        _weighted_sum(weights, truth & verdict)
        for truth in (is_fake, ~is_fake)
        for verdict in (called_fake, ~called_fake)
    ]


def abstention_metrics(is_fake, scores, weights, bounds):
    """How often conformal sets hold the true class, and how good the answers are."""
    may_be_fake, may_be_real = conformal_sets(scores, bounds)
    covered, answered = np.where(is_fake, may_be_fake, may_be_real), may_be_fake != may_be_real

    def share(part, whole):
        return _divide(_weighted_sum(weights, part & whole), _weighted_sum(weights, whole))

    return {
        "answered": share(answered, np.ones_like(answered)),
        "accuracy_answered": share(covered, answered),
        "coverage_fake": share(covered, is_fake),
        "coverage_real": share(covered, ~is_fake),
    }


def detection_metrics(is_fake, scores, weights, threshold, conformal_bounds=None):
    """Return a dictionary of arrays, one value for each row of `weights`.

    Args:
        is_fake: Booleans, true for a fake, in order of falling score.
        scores: Probabilities of being fake, falling.
        weights: Shape `(rows, images)`, how often each image counts in each row.
        threshold: An image whose score is at least the threshold is called fake.
        conformal_bounds: Those of a detector that abstains, for the metrics of abstention.
    """
    rows = len(weights)
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    true_positives = np.cumsum(weights * is_fake, axis=1)
    counts = np.cumsum(weights, axis=1)
    if len(last) < len(scores):
        true_positives, counts = true_positives[:, last], counts[:, last]
    false_positives = counts - true_positives
    start = np.zeros((rows, 1))
    tpr = np.hstack([start, _divide(true_positives, true_positives[:, -1:])])
    fpr = np.hstack([start, _divide(false_positives, false_positives[:, -1:])])
    tpr_steps, fpr_steps = np.diff(tpr), np.diff(fpr)
    # A score that no image of the row has adds no recall, whatever its precision.
    precision = true_positives / np.maximum(counts, 1)

    # The linear interpolation of the ROC curve meets the line of equal errors between the last
    # point below it and the next.
    excess = fpr + tpr - 1
    below = np.maximum((excess < 0).sum(axis=1, keepdims=True) - 1, 0)
    here, there = (np.take_along_axis(excess, below + step, axis=1) for step in (0, 1))
    eer = np.take_along_axis(fpr, below, axis=1) - np.take_along_axis(fpr_steps, below, axis=1) * (
        here / (there - here)
    )

    # Bins as `reliability_curve` cuts them, counted from the highest score.
    mass = np.diff(counts, prepend=0)
    total = counts[:, -1:]
    # The quotients of these whole numbers are rounded to none that they do not reach.
    bins = ((2 * (total - counts) + mass) * NUM_BINS / (2 * total)).astype(int)
    gaps = np.bincount(
        (np.minimum(bins, NUM_BINS - 1) + NUM_BINS * np.arange(rows)[:, None]).ravel(),
        (np.diff(true_positives, prepend=0) - scores[last] * mass).ravel(),
        minlength=NUM_BINS * rows,
    )
    total = total[:, 0]

    fake_fake, fake_real, real_fake, real_real = confusion_counts(
        is_fake, scores, weights, threshold
    )
    recall_fake = _divide(fake_fake, fake_fake + fake_real)
    recall_real = _divide(real_real, real_fake + real_real)
    metrics = {
        "auc": np.sum(fpr_steps * (tpr[:, 1:] + tpr[:, :-1]), axis=1) / 2,
        "average_precision": np.sum(tpr_steps * precision, axis=1),
        "eer": eer[:, 0],
        "tpr_at_fpr_1": np.max(np.where(fpr <= 0.01, tpr, 0), axis=1),
        "tpr_at_fpr_5": np.max(np.where(fpr <= 0.05, tpr, 0), axis=1),
        "balanced_accuracy": (recall_fake + recall_real) / 2,
        "accuracy": (fake_fake + real_real) / total,
        "precision_fake": _divide(fake_fake, fake_fake + real_fake),
        "recall_fake": recall_fake,
        "precision_real": _divide(real_real, real_real + fake_real),
        "recall_real": recall_real,
        "brier": _weighted_sum(weights, (scores - is_fake) ** 2) / total,
        "ece": np.abs(gaps).reshape(rows, NUM_BINS).sum(axis=1) / total,
        "prevalence": (fake_fake + fake_real) / total,
    }
    if conformal_bounds is not None:
        metrics |= abstention_metrics(is_fake, scores, weights, conformal_bounds)
    return metrics
