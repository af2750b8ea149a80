import numpy as np
import pytest
from sklearn import metrics

from keras_deepfake.evaluation import curves


def arrays(seed, size=400, decimals=16):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(size) < size // 3).astype(int)
    scores = 1 / (1 + np.exp(-rng.normal(labels - 0.5)))
    return labels, np.round(scores, decimals)


@pytest.mark.parametrize("decimals", [16, 2, 1, 0])
def test_roc_curve_is_that_of_scikit_learn(decimals):
    labels, scores = arrays(1, decimals=decimals)
    expected = metrics.roc_curve(labels, scores, drop_intermediate=False)
    for ours, theirs in zip(curves.roc_curve(labels, scores), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("decimals", [16, 2, 1, 0])
def test_precision_recall_curve_is_that_of_scikit_learn(decimals):
    labels, scores = arrays(2, decimals=decimals)
    expected = metrics.precision_recall_curve(labels, scores)
    ours = curves.precision_recall_curve(labels, scores)
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_reliability_curve_has_equal_mass_bins():
    labels, scores = arrays(3, size=405)
    mean_score, fraction_fake, count = curves.reliability_curve(labels, scores, num_bins=15)
    order = np.argsort(scores)
    np.testing.assert_array_equal(count, np.full(15, 27))
    np.testing.assert_allclose(mean_score, scores[order].reshape(15, 27).mean(1))
    np.testing.assert_allclose(fraction_fake, labels[order].reshape(15, 27).mean(1))


def test_reliability_curve_never_parts_equal_scores():
    labels = np.array([0, 1, 0, 1, 1, 0, 1, 1])
    scores = np.array([0.2, 0.2, 0.2, 0.2, 0.2, 0.6, 0.7, 0.7])
    shuffled = np.random.default_rng(0).permutation(8)
    curve = curves.reliability_curve(labels[shuffled], scores[shuffled], num_bins=4)
    np.testing.assert_allclose(curve[0], [0.2, 0.6, 0.7])
    np.testing.assert_allclose(curve[1], [0.6, 0.0, 1.0])
    np.testing.assert_array_equal(curve[2], [5, 1, 2])


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([], [], "empty"),
        ([0, 1], [0.1, 0.2, 0.3], "got 2 and 3"),
        ([0, 2, 1], [0.1, 0.2, 0.3], "got 2 at position 1"),
        ([0, np.nan, 1], [0.1, 0.2, 0.3], "got nan at position 1"),
        ([0, 0, 0], [0.1, 0.2, 0.3], "all 3 images are real"),
        ([1, 1, 1], [0.1, 0.2, 0.3], "all 3 images are fake"),
        ([0, 1, 1], [0.1, np.nan, 0.3], "finite; got nan at position 1"),
        ([0, 1, 1], [0.1, 0.2, np.inf], "finite; got inf at position 2"),
        ([0, 1, 1], [0.1, 0.2, 3.5], "got 3.5 at position 2"),
        ([0, 1, 1], [-0.1, 0.2, 0.5], "got -0.1 at position 0"),
        ([[0, 1], [1, 0]], [0.1, 0.2], "`is_fake` must have one dimension"),
        ([0, 1], [[0.1], [0.2]], "`scores` must have one dimension"),
        (["fake", "real"], [0.1, 0.2], "`is_fake` must be an array of numbers"),
    ],
)
def test_wrong_arrays_are_refused_with_the_reason(labels, scores, message):
    for curve in ("roc_curve", "precision_recall_curve", "reliability_curve"):
        with pytest.raises(ValueError, match=message):
            getattr(curves, curve)(labels, scores)


def test_reliability_curve_refuses_no_bins():
    with pytest.raises(ValueError, match="`num_bins` must be an integer from 1 to 1000000; got 0"):
        curves.reliability_curve([0, 1], [0.1, 0.9], num_bins=0)
