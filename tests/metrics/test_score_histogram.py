"""What the metrics of histograms have in common."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_deepfake as kd

METRICS = [kd.metrics.EqualErrorRate, kd.metrics.ExpectedCalibrationError]
each_metric = pytest.mark.parametrize("component", METRICS, ids=lambda c: c.__name__)


def detector(seed, size=512):
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.5, 0.7, size).astype("float32")
    return (rng.random(size) < scores**2).astype("float32"), scores


def value(metric, *arguments, **named):
    metric.update_state(*arguments, **named)
    return float(ops.convert_to_numpy(metric.result()))


def two_columns(values):
    return np.stack([1 - values, values], axis=1)


@each_metric
def test_shapes_of_labels_and_predictions_agree(component):
    labels, scores = detector(4)
    expected = value(component(), labels, scores)
    for class_id in (0, 1):
        for y_true in (labels, labels[:, None], labels.astype("int32"), two_columns(labels)):
            for y_pred in (scores, scores[:, None], two_columns(scores)):
                result = value(component(class_id=class_id), y_true, y_pred)
                assert result == pytest.approx(expected, abs=2e-3), (y_true.shape, y_pred.shape)


@each_metric
def test_one_column_is_the_probability_of_class_1(component):
    labels, scores = detector(4)
    right, wrong = (value(component(), y, scores[:, None]) for y in (labels, 1 - labels))
    assert right < 0.3 < wrong


@each_metric
def test_class_id_picks_one_of_two_independent_columns(component):
    labels, scores = detector(4)
    unlike = np.stack([np.full_like(scores, 0.5), scores], axis=1)
    expected = value(component(), labels, scores)
    assert value(component(class_id=1), labels, unlike) == pytest.approx(expected, abs=1e-6)
    assert value(component(class_id=0), labels, unlike) > expected + 0.05


@each_metric
def test_sample_weight_counts_as_repetition(component):
    labels, scores = detector(5, size=90)
    weights = np.random.default_rng(5).integers(0, 4, 90)
    weighted = value(component(), labels, scores, sample_weight=weights[:, None])
    repeated = value(component(), np.repeat(labels, weights), np.repeat(scores, weights))
    assert weighted == pytest.approx(repeated, abs=1e-6)
    doubled = value(component(), labels, scores, sample_weight=2.0)
    assert doubled == pytest.approx(value(component(), labels, scores), abs=1e-6)


@each_metric
@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [0.1, 1.5], r"`y_pred` must hold values in \[0, 1\]; got 1.5.*softmax"),
        ([0, 1], [-3.0, 0.1], "`y_pred` .* got -3.*softmax"),
        ([0, 1], [10.0, 90.0], "`y_pred` .* got 10.*percentages by 100"),
        ([[1, 0], [0, 1]], [[-1.0, 2.0], [0.2, 0.8]], "`y_pred` .* got -1"),
        ([1, 2], [0.1, 0.9], "`y_true` .* got 2.*class numbers of 0 and 1"),
        ([[1, 0, 0]], [[0.5, 0.5]], "`y_true` must have shape"),
        ([1], [[0.2, 0.3, 0.5]], "`y_pred` must have shape"),
        ([[[1]]], [0.5], "`y_true` must have shape"),
    ],
)
def test_what_is_no_probability_is_refused_before_it_counts(component, labels, scores, message):
    metric = component()
    with pytest.raises(ValueError, match=message):
        metric.update_state(labels, scores)
    assert not any(np.any(variable.numpy()) for variable in metric.variables)


@each_metric
def test_nan_gives_nan_until_the_state_is_reset(component):
    metric = component()
    assert np.isnan(value(metric, [0, 1, 1], [0.1, np.nan, 0.8]))
    metric.reset_state()
    assert np.isfinite(value(metric, [0, 1, 1], [0.1, 0.7, 0.8]))


@pytest.mark.usefixtures("in_graphs")
@each_metric
@pytest.mark.parametrize("scale", [-3.0, 100.0, np.nan])
def test_compiled_step_gives_nan_for_what_is_no_probability(component, scale):
    x = np.linspace(0.1, 0.9, 8, dtype="float32")[:, None]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(scale)])
    model.compile(loss="mse", metrics=[component(name="metric")])
    y = np.tile([[0.0], [1.0]], (4, 1))
    if keras.backend.backend() == "torch" and scale == scale:
        # Its steps are not compiled.
        with pytest.raises(ValueError, match="`y_pred` must hold"):
            model.evaluate(x, y, verbose=0)
    else:
        assert np.isnan(model.evaluate(x, y, verbose=0, return_dict=True)["metric"])


@each_metric
@pytest.mark.parametrize("name", ["num_thresholds", "num_bins", "class_id"])
@pytest.mark.parametrize("bad", [-1, 1.5, "3", None, float("nan"), True, 10**9])
def test_wrong_arguments_are_refused(component, name, bad):
    if name == "num_bins":
        component = kd.metrics.ExpectedCalibrationError
    with pytest.raises(ValueError, match=f"`{name}` must be an integer"):
        component(**{name: bad})


@each_metric
def test_lengths_agree(component):
    """One label would stand for all scores, and one score for all labels."""
    metric = component()
    for labels, scores, weights, name in (
        ([1], [0.1, 0.2, 0.3], None, "y_true"),
        ([1, 0, 1], [0.5], None, "y_true"),
        ([1, 0, 1], [0.1, 0.2, 0.3], [1.0, 2.0], "sample_weight"),
    ):
        with pytest.raises(ValueError, match=f"`{name}` must have a value for each of `y_pred`"):
            metric.update_state(labels, scores, weights)
