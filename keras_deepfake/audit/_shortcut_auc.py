"""Cross-validated AUC of predicting the class from one property of the files."""

from typing import NamedTuple

import numpy as np

from keras_deepfake.evaluation.bootstrap import percentile_interval, resampled_weights

_NUM_FOLDS = 5
_NUM_RESAMPLES = 1000
# Below this many groups of either class chance alone looks like a shortcut too often.
_MIN_GROUPS = 5


class ShortcutAUC(NamedTuple):
    """How well one property of the files predicts their class."""

    auc: float
    low: float
    high: float
    scores: np.ndarray  # the predicted share of the class for each image


def shortcut_auc(values, member, groups, seed):
    """Cross-validated AUC of predicting the class from one property of the files.

    The property is cut into categories (numbers at quantiles of the training part, so that any
    relation is found, monotone or not), and each category is scored by the share of the class in
    the training part, smoothed towards the share of all. Images are compared to those of the
    same fold only: scores of different folds come from different fits, and comparing them
    biases the AUC of a useless property below .5.

    Args:
        values: 1-D array, floats for a scalar property, strings for a categorical one.
        member: 1-D boolean array, whether the image is of the class.
        groups: 1-D integer array; folds never share a group, and whole groups are resampled.
        seed: Integer.

    Returns:
        A `ShortcutAUC` with the 95 % bootstrap interval, or `None` where the
        class, or the rest, has too few groups.
    """
    num_groups = min(len(np.unique(groups[part])) for part in (member, ~member))
    if num_groups < _MIN_GROUPS:
        return None
    if (values == values[0]).all():
        return ShortcutAUC(0.5, 0.5, 0.5, np.full(len(values), member.mean()))
    groups = np.unique(groups, return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    folds = _stratified_folds(member, groups, rng)[groups]
    scores = np.empty(len(values))
    for fold in range(_NUM_FOLDS):
        test = folds == fold
        scores[test] = _score(values, member, ~test)[test]

    # Images of one fold and one score are interchangeable: the rest works on their counts.
    order = np.lexsort((scores, folds))
    steps = np.diff(np.stack([folds, scores])[:, order], axis=1).any(axis=0)
    cells = np.append(0, np.flatnonzero(steps) + 1)
    starts = np.searchsorted(folds[order][cells], range(_NUM_FOLDS))

    def auc(weights):
        members = np.add.reduceat((weights * member)[:, order], cells, axis=1)
        others = np.add.reduceat((weights * ~member)[:, order], cells, axis=1)
        return _auc_within_folds(members, others, starts)

    resampled = [auc(block) for block in resampled_weights(groups, member, _NUM_RESAMPLES, seed)]
    low, high = percentile_interval(np.concatenate(resampled), num_groups)
    return ShortcutAUC(float(auc(np.ones((1, len(member))))[0]), low, high, scores)


def _stratified_folds(member, groups, rng):
    """Fold of each group, with groups of like shares of the class dealt out evenly."""
    share = np.bincount(groups, weights=member) / np.bincount(groups)
    order = np.lexsort((rng.permutation(len(share)), share))
    folds = np.empty(len(share), dtype=int)
    folds[order] = np.arange(len(share)) % _NUM_FOLDS
    return folds


def _score(values, member, train):
    """Share of the class in the training part of the category that each value belongs to."""
    if values.dtype.kind == "f":
        num_bins = np.clip(train.sum() // 12, 2, 16)
        edges = np.quantile(values[train], np.arange(1, num_bins) / num_bins)
        categories = np.digitize(values, np.unique(edges))
    else:
        categories = np.unique(values, return_inverse=True)[1]
    size = categories.max() + 1
    count = np.bincount(categories[train], minlength=size)
    members = np.bincount(categories[train], weights=member[train], minlength=size)
    return ((members + 2 * member[train].mean()) / (count + 2))[categories]


def _auc_within_folds(members, others, starts):
    """AUC over the pairs of a member and another of one fold, from counts in rising order of score.

    Args:
        members: Array `(…, cells)` of the number of members, sorted by fold, then score.
        others: The same of all others.
        starts: First cell of each fold.
    """
    wins, pairs = 0.0, 0.0
    for start, end in zip(starts, [*starts[1:], members.shape[-1]], strict=True):
        member, other = members[..., start:end], others[..., start:end]
        below = np.cumsum(other, axis=-1) - other / 2
        wins = wins + (member * below).sum(axis=-1)
        pairs = pairs + member.sum(axis=-1) * other.sum(axis=-1)
    return np.divide(wins, pairs, out=np.full(np.shape(pairs), np.nan), where=pairs > 0)
