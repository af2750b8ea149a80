import keras
import numpy as np
import pytest
from keras import ops
from sklearn.metrics import roc_curve

import keras_deepfake as kd


def detector(seed, size=512, decimals=16):
    rng = np.random.default_rng(seed)
    labels = (rng.random(size) < 0.4).astype("float32")
    scores = 1 / (1 + np.exp(-2 * rng.normal(1.5 * labels - 0.7)))
    return labels, np.round(scores, decimals).astype("float32")


def exact(labels, scores):
    """Where scikit-learn's ROC curve, linearly interpolated, crosses its antidiagonal."""
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    return float(np.interp(1.0, fpr + tpr, fpr))


def value(metric):
    return float(ops.convert_to_numpy(metric.result()))


@pytest.mark.parametrize("decimals", [1, 2])
def test_result_is_exact_when_no_two_scores_share_an_interval(decimals):
    labels, scores = detector(decimals, decimals=decimals)
    metric = kd.metrics.EqualErrorRate()
    for part in range(0, 512, 128):
        metric.update_state(labels[part : part + 128], scores[part : part + 128])
    np.testing.assert_allclose(value(metric), exact(labels, scores), atol=1e-6)


@pytest.mark.parametrize("num_thresholds", [10, 100, 1000])
def test_error_is_within_the_stated_bound(num_thresholds):
    labels, scores = detector(3, size=4000)
    metric = kd.metrics.EqualErrorRate(num_thresholds)
    metric.update_state(labels, scores)
    expected = exact(labels, scores)
    edges = np.sin(np.pi / 2 * np.arange(num_thresholds + 2) / (num_thresholds + 1)) ** 2
    reals, fakes = (np.histogram(scores[labels == k], edges)[0] for k in (0, 1))
    reals, fakes = reals / reals.sum(), fakes / fakes.sum()
    crossing = np.flatnonzero(1 - np.cumsum(reals) <= np.cumsum(fakes))[0]
    bound = min(reals[crossing], fakes[crossing])
    assert bound < 0.4 * 10 / num_thresholds
    assert abs(value(metric) - expected) <= bound + 1e-7


def test_closed_forms():
    for scores, expected in (
        ([0, 0.2, 0.9, 1], 0),
        ([1, 0.9, 0.2, 0], 1),
        ([0.5] * 4, 0.5),
        ([0.1, 0.6, 0.4, 0.9], 0.5),
    ):
        metric = kd.metrics.EqualErrorRate()
        metric.update_state([0, 0, 1, 1], np.array(scores))
        assert value(metric) == pytest.approx(expected, abs=1e-7)
    # Of 4 reals and 2 fakes: at a false-positive rate of 1/4 half of the fakes are missed, and
    # none at 1/2; the line between them is where both are 1/3.
    metric = kd.metrics.EqualErrorRate()
    metric.update_state([0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.5, 0.8, 0.5, 0.9])
    assert value(metric) == pytest.approx(1 / 3, abs=1e-7)


def test_is_that_of_a_normal_distribution():
    # Scores of two normal distributions a distance d apart: the rate is Φ(-d / 2).
    rng = np.random.default_rng(8)
    logits = np.concatenate([rng.normal(-1, 1, 40000), rng.normal(1, 1, 40000)])
    metric = kd.metrics.EqualErrorRate()
    metric.update_state(np.repeat([0, 1], 40000), 1 / (1 + np.exp(-logits)))
    assert value(metric) == pytest.approx(0.158655, abs=0.004)


def test_only_one_class_gives_nan():
    metric = kd.metrics.EqualErrorRate()
    assert np.isnan(value(metric))
    metric.update_state([1, 1], [0.1, 0.8])
    assert np.isnan(value(metric))


@pytest.mark.usefixtures("in_graphs")
@pytest.mark.parametrize("units", [1, 2])
def test_compiled_metrics_see_the_whole_epoch(units):
    rng = np.random.default_rng(6)
    x = rng.normal(size=(60, 3)).astype("float32")
    labels = (x.sum(1) + rng.normal(size=60) > 0).astype("float32")
    y = labels[:, None] if units == 1 else np.stack([labels, 1 - labels], axis=1)
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(units, "sigmoid" if units == 1 else "softmax")]
    )
    model.compile(
        "sgd",
        "binary_crossentropy" if units == 1 else "categorical_crossentropy",
        metrics=[kd.metrics.EqualErrorRate(), kd.metrics.ExpectedCalibrationError(num_bins=1)],
    )
    stop = keras.callbacks.EarlyStopping("val_equal_error_rate")
    model.fit(x, y, batch_size=20, verbose=0, validation_data=(x, y), callbacks=[stop])
    assert stop.monitor_op(1, 2)  # lower is better, without being told
    logs = model.evaluate(x, y, batch_size=20, return_dict=True, verbose=0)
    scores = model.predict(x, verbose=0)[:, 0]
    np.testing.assert_allclose(logs["equal_error_rate"], exact(labels, scores), atol=0.03)
    # In a single bin the error is how far the mean score is from the share of the class.
    expected = abs(scores.mean() - labels.mean())
    np.testing.assert_allclose(logs["expected_calibration_error"], expected, atol=1e-5)


def test_keras_sensitivity_at_specificity_serves_for_tpr_at_fpr():
    labels, scores = detector(7, decimals=2)
    two_columns = np.stack([scores, 1 - scores], axis=1)
    one_hot = np.stack([labels, 1 - labels], axis=1)
    metric = keras.metrics.SensitivityAtSpecificity(0.95, num_thresholds=1000, class_id=0)
    for part in range(0, 512, 128):
        metric.update_state(one_hot[part : part + 128], two_columns[part : part + 128])
    fpr, tpr, _ = roc_curve(labels, scores)
    np.testing.assert_allclose(value(metric), tpr[fpr <= 0.05].max(), atol=1e-6)
