"""The head that is solved, not trained: logistic regression on features that are computed once."""

import warnings
from typing import NamedTuple

import numpy as np

from keras_deepfake._arguments import check_number, check_sequence

# Penalties to choose from, the strongest first; the mean cross-entropy makes them independent of
# the number of images.
PENALTIES = tuple(10.0 ** (-exponent / 2) for exponent in range(-2, 11))
# How many weaker penalties in a row may be worse before the rest are not tried.
_PATIENCE = 2
# Largest entry of the gradient at which a solution counts as reached.
_TOLERANCE = {"choosing": 1e-4, "final": 1e-6}
# Values that are worth the time of float64.
_MOST_IN_DOUBLE = 2**25


class HeadSolution(NamedTuple):
    """A solved head, and how its penalty was chosen.

    Attributes:
        l2: Float, the penalty.
        losses: Dictionary from each penalty that was tried to its cross-entropy on images held
            out; empty where one penalty was given.
        probabilities: Float array `(images, classes)`: what heads of this penalty say of images
            that they were not solved on; `None` where one penalty was given.
        kernel: Float array `(features, classes)` of the head's kernel.
        bias: Float array `(classes,)`.
    """

    l2: float
    losses: dict
    probabilities: np.ndarray | None
    kernel: np.ndarray
    bias: np.ndarray


def solve_head(
    features,
    labels,
    num_classes,
    groups=None,
    l2=PENALTIES,
    standardize=True,
    is_softmax=True,
    seed=0,
):
    """Solve a logistic regression to its optimum.

    It minimises the mean cross-entropy plus `l2` times the sum of the squared weights of
    standardised features: of two classes those of their log-odds, the difference of two columns
    of the kernel; of several under sigmoids each class is a problem of its own. With several
    penalties, each is tried by cross-validation in which no group is on both sides, and that of
    the smallest cross-entropy is taken.

    Args:
        features: Float array `(images, features)`.
        labels: Integer array `(images,)`, the numbers of the classes; -1 for images that nothing is
            solved on, of which the heads of the cross-validation say something too.
        num_classes: Integer.
        groups: What images belong together, one hashable value for each; `None` if none do.
        l2: Float, or floats from the strongest to the weakest.
        standardize: Boolean, whether each feature is divided by its own standard deviation;
            otherwise all are divided by the root of their mean variance.
        is_softmax: Boolean, whether classes exclude each other.
        seed: Integer, of the parts.

    Returns:
        A `HeadSolution`.

    Raises:
        ValueError: If features are not finite, or a class has no image or too few groups.
    """
    labels = np.asarray(labels)
    penalties = [l2] if isinstance(l2, float) else list(l2)
    folds = check_solvable(labels, num_classes, groups, penalties, seed=seed)
    mean, scale = _moments(features, standardize)
    rows, to_kernel = _compressed(features, mean, scale)
    l2, losses, probabilities = penalties[0], {}, None
    if folds is not None:
        l2, losses, probabilities = _choose(rows, labels, num_classes, penalties, folds, is_softmax)
    solver = _Solver(num_classes, is_softmax, _TOLERANCE["final"])
    kernel, bias = solver.solve(rows[labels >= 0], labels[labels >= 0], l2)
    kernel = to_kernel(kernel) / scale[:, None]
    return HeadSolution(l2, losses, probabilities, kernel, bias - mean @ kernel)


def check_head(head):
    """The layer, if it holds a kernel and a bias and nothing else."""
    if len(head.weights) != 2:
        raise ValueError(
            "To be solved the head must be a dense layer of a kernel and a bias; layer "
            f"{head.name!r} holds {[weight.name for weight in head.weights]}. Solve it before it "
            "is quantized, or gets LoRA weights."
        )
    return head


def check_penalties(l2):
    """Return a list of penalties, the strongest first: those given, or `PENALTIES` for `None`."""
    if l2 is None:
        return PENALTIES
    if hasattr(l2, "__len__"):
        l2 = check_sequence("l2", l2, lambda name, value: check_number(name, value, above=0))
        return sorted(l2, reverse=True)
    return [check_number("l2", l2, above=0)]


def check_solvable(labels, num_classes, groups=None, penalties=PENALTIES, num_folds=5, seed=0):
    """Raise for what no head can be solved on, before the images are encoded.

    Returns:
        The folds of the cross-validation, pairs of training and held-out positions, or `None`
        where there is one penalty only.
    """
    labels = np.asarray(labels)
    _check_classes(labels, num_classes)
    if len(penalties) == 1:
        return None
    return _folds(labels, num_classes, groups, num_folds, seed)


def group_numbers(groups):
    """An array with the number of each group, counted as they appear."""
    numbers = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups])


class _Solver:
    """Solves for one penalty after the other, each from where the last one ended."""

    def __init__(self, num_classes, is_softmax, tolerance):
        from sklearn.linear_model import LogisticRegression

        self.is_softmax = is_softmax
        # Of two classes, and of a softmax, scikit-learn solves all at once.
        self.is_joint = is_softmax or num_classes == 2
        count = 1 if self.is_joint else num_classes
        self.regressions = [
            LogisticRegression(solver="newton-cg", tol=tolerance, max_iter=10_000, warm_start=True)
            for _ in range(count)
        ]

    def solve(self, rows, labels, l2):
        """Return kernel and bias, a column for each class."""
        kernels, biases = [], []
        for number, regression in enumerate(self.regressions):
            regression.C = 1 / (2 * l2 * len(rows))
            regression.fit(rows, labels if self.is_joint else labels == number)
            kernels.append(regression.coef_)
            biases.append(regression.intercept_)
        kernel, bias = np.concatenate(kernels).T, np.concatenate(biases)
        if kernel.shape[1] == 1:
            # The log-odds of the second of two classes: a softmax takes the difference of its
            # columns, a sigmoid each by itself.
            signs = np.array([-1.0, 1.0]) * (0.5 if self.is_softmax else 1.0)
            kernel, bias = kernel * signs, bias * signs
        return kernel, bias


def _choose(rows, labels, num_classes, penalties, folds, is_softmax):
    solvers = [_Solver(num_classes, is_softmax, _TOLERANCE["choosing"]) for _ in folds]
    losses, best = {}, None
    for l2 in penalties:
        probabilities = np.empty((len(labels), num_classes))
        for solver, (train, held_out) in zip(solvers, folds, strict=True):
            train = train[labels[train] >= 0]
            kernel, bias = solver.solve(rows[train], labels[train], l2)
            probabilities[held_out] = _probabilities(rows[held_out] @ kernel + bias, is_softmax)
        known = labels >= 0
        losses[l2] = _cross_entropy(probabilities[known], labels[known], is_softmax)
        if best is None or losses[l2] < losses[best[0]]:
            best = (l2, probabilities)
        elif len(losses) - list(losses).index(best[0]) > _PATIENCE:
            break
    return best[0], losses, best[1]


def _check_classes(labels, num_classes):
    missing = set(range(num_classes)) - set(np.unique(labels).tolist())
    if missing:
        raise ValueError(
            f"The head needs images of all {num_classes} classes; got none of class number "
            f"{', '.join(map(str, sorted(missing)))}."
        )


def _moments(features, standardize):
    """Mean and scale of each feature, in float64."""
    mean = features.mean(axis=0, dtype="float64")
    if not np.isfinite(mean).all():
        raise ValueError(
            f"Features must be finite; {np.count_nonzero(~np.isfinite(mean))} of {len(mean)} are "
            "NaN or infinite for an image: what the encoder computes overflows."
        )
    variance = np.empty_like(mean)
    for start in range(0, len(mean), 1024):  # a copy of all in float64 would be large
        part = slice(start, start + 1024)
        variance[part] = features[:, part].var(axis=0, dtype="float64")
    if not standardize:
        variance[:] = variance.mean()
    # What is constant but for rounding tells nothing.
    is_constant = variance <= 1e-12 * (mean**2 + variance.max())
    scale = np.sqrt(np.where(is_constant, 1.0, variance))
    return mean, scale


def _compressed(features, mean, scale):
    """Standardised rows of the same products in as few columns as can be, and the way back.

    A penalty on all weights alike leaves them in the span of the images. Where there are fewer
    images than features, the Cholesky factor of the rows' products stands for the rows exactly.
    """
    count, width = features.shape
    is_compressed = width > 2 * count
    # The factor of a matrix that is nearly singular needs double precision.
    is_double = is_compressed or features.size <= _MOST_IN_DOUBLE
    rows = ((features - mean) / scale).astype("float64" if is_double else "float32", copy=False)
    if not is_compressed:
        return rows, lambda kernel: kernel
    from scipy.linalg import cholesky, solve_triangular

    products = rows @ rows.T
    # The mean is gone, so that the products are singular.
    products[np.diag_indices(count)] += 1e-10 * max(np.trace(products), 1.0) / count
    factor = cholesky(products, lower=True)

    def to_kernel(kernel):
        return rows.T @ solve_triangular(factor, kernel, lower=True, trans="T")

    return factor, to_kernel


def _folds(labels, num_classes, groups, most, seed):
    """Pairs of training and held-out positions."""
    from sklearn.model_selection import StratifiedGroupKFold

    # scikit-learn compares them.
    units = group_numbers(groups or range(len(labels)))
    counts = [len(np.unique(units[labels == number])) for number in range(num_classes)]
    num_folds = min(most, *counts)
    if num_folds < 2:
        kind = "images" if groups is None else "groups"
        raise ValueError(
            f"Choosing the penalty needs at least 2 {kind} of each class; got {counts}. Where "
            "there is an argument `l2`, give it one value instead."
        )
    with warnings.catch_warnings():
        # Folds need not be equal.
        warnings.simplefilter("ignore", UserWarning)
        splitter = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
        folds = list(splitter.split(labels, labels, units))
    for train, _ in folds:
        _check_classes(labels[train], num_classes)
    return folds


def _probabilities(logits, is_softmax):
    from scipy.special import expit, softmax

    return softmax(logits, axis=1) if is_softmax else expit(logits)


def _cross_entropy(probabilities, labels, is_softmax):
    one_hot = np.arange(probabilities.shape[1]) == labels[:, None]
    likelihoods = np.where(one_hot, probabilities, 1 - probabilities)
    if is_softmax:
        likelihoods = probabilities[one_hot]
    return float(-np.log(np.maximum(likelihoods, 1e-300)).mean())
