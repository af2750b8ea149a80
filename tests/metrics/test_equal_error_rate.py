import keras
import numpy as np
import pytest
from keras import ops

import keras_deepfake as kd
from keras_deepfake.evaluation import curves


def detector(seed, size=512, decimals=16):
    rng = np.random.default_rng(seed)
    labels = (rng.random(size) < 0.4).astype("float32")
    scores = 1 / (1 + np.exp(-2 * rng.normal(1.5 * labels - 0.7)))
    return labels, np.round(scores, decimals).astype("float32")


def exact(labels, scores):
    """Equal error rate by root finding on the interpolated ROC curve."""
    fpr, tpr, _ = curves.roc_curve(labels, scores)
    low, high = 0.0, 1.0  # along the curve, parametrised by false plus true positive rate
    for _ in range(60):
        middle = (low + high) / 2
        rates = [np.interp(2 * middle, fpr + tpr, rate) for rate in (fpr, tpr)]
        low, high = (middle, high) if sum(rates) < 1 else (low, middle)
    return np.interp(2 * low, fpr + tpr, fpr)


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


def test_perfect_reversed_and_constant_scores():
    labels = np.array([0, 0, 1, 1])
    for scores, expected in (([0, 0.2, 0.9, 1], 0), ([1, 0.9, 0.2, 0], 1), ([0.5] * 4, 0.5)):
        metric = kd.metrics.EqualErrorRate()
        metric.update_state(labels, np.array(scores))
        assert value(metric) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", ["EqualErrorRate", "ExpectedCalibrationError"])
def test_shapes_of_labels_and_predictions_agree(name):
    labels, scores = detector(4)
    two_columns = np.stack([scores, 1 - scores], axis=1)
    one_hot = np.stack([labels, 1 - labels], axis=1)
    results = []
    for y_true, y_pred, arguments in (
        (labels, scores, {}),
        (labels[:, None], scores[:, None], {}),
        (one_hot, two_columns, {}),
        (1 - labels.astype("int32"), two_columns, {}),
        (one_hot, scores[:, None], {}),
        (one_hot[:, ::-1], two_columns[:, ::-1], {"class_id": 1}),
        (labels.astype("int32"), two_columns[:, ::-1], {"class_id": 1}),
    ):
        metric = getattr(kd.metrics, name)(**arguments)
        metric.update_state(y_true.copy(), y_pred.copy())
        results.append(value(metric))
    np.testing.assert_allclose(results, results[0], atol=1e-6)


@pytest.mark.parametrize("name", ["EqualErrorRate", "ExpectedCalibrationError"])
def test_sample_weight_counts_as_repetition(name):
    labels, scores = detector(5, size=90)
    weights = np.random.default_rng(5).integers(0, 4, 90)
    weighted, repeated = getattr(kd.metrics, name)(), getattr(kd.metrics, name)()
    weighted.update_state(labels, scores, sample_weight=weights[:, None])
    repeated.update_state(np.repeat(labels, weights), np.repeat(scores, weights))
    np.testing.assert_allclose(value(weighted), value(repeated), atol=1e-6)
    weighted.reset_state()
    weighted.update_state(labels, scores, sample_weight=2.0)
    repeated.reset_state()
    repeated.update_state(labels, scores)
    np.testing.assert_allclose(value(weighted), value(repeated), atol=1e-6)


@pytest.mark.parametrize("name", ["EqualErrorRate", "ExpectedCalibrationError"])
@pytest.mark.parametrize("score", [float("nan"), 1.5, -3.0])
def test_predictions_that_are_no_probabilities_give_nan(name, score):
    metric = getattr(kd.metrics, name)()
    metric.update_state([0, 1, 1], [0.1, score, 0.8])
    assert np.isnan(value(metric))
    metric.reset_state()
    metric.update_state([0, 1, 1], [0.1, 0.7, 0.8])
    assert np.isfinite(value(metric))


def test_one_class_gives_nan():
    metric = kd.metrics.EqualErrorRate()
    metric.update_state([1, 1], [0.1, 0.8])
    assert np.isnan(value(metric))


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
        metrics=[kd.metrics.EqualErrorRate(), kd.metrics.ExpectedCalibrationError()],
    )
    stop = keras.callbacks.EarlyStopping("val_equal_error_rate")
    model.fit(x, y, batch_size=16, verbose=0, validation_data=(x, y), callbacks=[stop])
    assert stop.monitor_op(1, 2)  # lower is better, without being told
    logs = model.evaluate(x, y, batch_size=16, return_dict=True, verbose=0)
    scores = model.predict(x, verbose=0)[:, 0]
    np.testing.assert_allclose(logs["equal_error_rate"], exact(labels, scores), atol=0.03)
    mean_score, fraction_fake, count = curves.reliability_curve(labels, scores)
    expected = np.sum(np.abs(mean_score - fraction_fake) * count) / 60
    np.testing.assert_allclose(logs["expected_calibration_error"], expected, atol=5e-3)


@pytest.mark.parametrize("name", ["EqualErrorRate", "ExpectedCalibrationError"])
def test_config_round_trip(name):
    metric = getattr(kd.metrics, name)(num_thresholds=7, class_id=1, name="mine")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(copy) is type(metric)
    assert copy.get_config() == metric.get_config()


@pytest.mark.parametrize("name", ["EqualErrorRate", "ExpectedCalibrationError"])
def test_wrong_arguments_are_refused(name):
    metric = getattr(kd.metrics, name)
    with pytest.raises(ValueError, match="`class_id` must be 0 or 1"):
        metric(class_id=2)
    with pytest.raises(ValueError, match="`num_thresholds` must be at least 1; got 0"):
        metric(num_thresholds=0)
    with pytest.raises(ValueError, match="`y_pred` must have shape"):
        metric().update_state(np.ones((4, 3)), np.ones((4, 3)) / 3)
    with pytest.raises(ValueError, match="`num_bins` must be at least 1; got 0"):
        kd.metrics.ExpectedCalibrationError(num_bins=0)


def test_keras_sensitivity_at_specificity_serves_for_tpr_at_fpr():
    labels, scores = detector(7, decimals=2)
    two_columns = np.stack([scores, 1 - scores], axis=1)
    one_hot = np.stack([labels, 1 - labels], axis=1)
    metric = keras.metrics.SensitivityAtSpecificity(0.95, num_thresholds=1000, class_id=0)
    for part in range(0, 512, 128):
        metric.update_state(one_hot[part : part + 128], two_columns[part : part + 128])
    fpr, tpr, _ = curves.roc_curve(labels, scores)
    np.testing.assert_allclose(value(metric), tpr[fpr <= 0.05].max(), atol=1e-6)
