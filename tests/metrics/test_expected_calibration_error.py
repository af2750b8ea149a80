import numpy as np
import pytest
from keras import ops
from scipy.stats import rankdata
from sklearn.calibration import calibration_curve

import keras_deepfake as kd


def expected_calibration_error(labels, scores, num_bins=15):
    """Sorted scores in bins of equal mass; equal scores share the bin of the middle one."""
    labels, scores = np.asarray(labels, "float64"), np.asarray(scores, "float64")
    middle = (rankdata(scores, "min") + rankdata(scores, "max") - 1) / 2
    bins = np.floor(middle * num_bins / len(scores) + 1e-9).astype(int)
    gaps = [abs(np.sum((labels - scores)[bins == i])) for i in range(num_bins)]
    return np.sum(gaps) / len(scores)


def detector(seed, size, decimals=16):
    rng = np.random.default_rng(seed)
    scores = np.round(rng.beta(0.5, 0.7, size), decimals).astype("float32")
    return (rng.random(size) < scores**2).astype("float32"), scores


def result(metric, labels, scores):
    for part in range(0, len(labels), 300):
        metric.update_state(labels[part : part + 300], scores[part : part + 300])
    return float(ops.convert_to_numpy(metric.result()))


@pytest.mark.parametrize("num_bins", [1, 4, 15])
def test_result_is_exact_when_no_two_scores_share_an_interval(num_bins):
    labels, scores = detector(1, 900, decimals=2)
    metric = kd.metrics.ExpectedCalibrationError(num_bins)
    expected = expected_calibration_error(labels, scores, num_bins)
    np.testing.assert_allclose(result(metric, labels, scores), expected, atol=2e-6)


@pytest.mark.parametrize("num_thresholds", [30, 100, 1000])
def test_error_is_within_the_stated_bound(num_thresholds):
    labels, scores = detector(2, 3000)
    metric = kd.metrics.ExpectedCalibrationError(num_thresholds=num_thresholds)
    edges = np.sin(np.pi / 2 * np.arange(num_thresholds + 2) / (num_thresholds + 1)) ** 2
    shares = np.histogram(scores, edges)[0] / len(scores)
    limits = np.quantile(scores, np.arange(1, 15) / 15)
    parted = np.unique(np.searchsorted(edges, limits, side="right") - 1)
    error = abs(result(metric, labels, scores) - expected_calibration_error(labels, scores))
    assert error <= 2 * shares[parted].sum()


def test_calibrated_and_overconfident_scores():
    scores = np.repeat([0.2, 0.8], 50)
    labels = np.tile([1, 0, 0, 0, 0], 10).tolist() + np.tile([0, 1, 1, 1, 1], 10).tolist()
    metric = kd.metrics.ExpectedCalibrationError()
    assert result(metric, np.array(labels), scores) == pytest.approx(0, abs=1e-6)
    metric.reset_state()
    confident = np.where(scores > 0.5, 0.95, 0.05)
    assert result(metric, np.array(labels), confident) == pytest.approx(0.15, abs=1e-6)


def test_matches_the_quantile_bins_of_scikit_learn():
    labels, scores = detector(4, 1500)
    fraction, mean = calibration_curve(labels, scores, n_bins=15, strategy="quantile")
    # Its bins hold 100 images each, up to one at the ends.
    expected = np.mean(np.abs(fraction - mean))
    metric = kd.metrics.ExpectedCalibrationError(num_thresholds=100_000)
    assert result(metric, labels, scores) == pytest.approx(expected, abs=2e-3)


def test_nothing_seen_gives_nan():
    assert np.isnan(float(ops.convert_to_numpy(kd.metrics.ExpectedCalibrationError().result())))
