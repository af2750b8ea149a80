import sys

import keras
import numpy as np
import pytest
from scipy import optimize

import keras_deepfake as kd
from keras_deepfake.evaluation.calibration import threshold_at_rate

calibrate = kd.evaluation.calibrate


def detector(columns=2, sharpness=3.0):
    """Sees the true log-odds of an image, and multiplies them by `sharpness`."""
    inputs = keras.Input((1, 2, 1))
    logits = keras.layers.Flatten()(inputs)
    kernel = np.array([[4.0, 0.0], [0.0, 4.0]]) * sharpness
    if columns == 1:
        kernel = kernel[:, :1] - kernel[:, 1:]
    head = keras.layers.Dense(columns, "softmax" if columns == 2 else "sigmoid", use_bias=False)
    model = keras.Model(inputs, head(logits))
    head.set_weights([kernel])
    return model


def faces(seed, size=2000):
    rng = np.random.default_rng(seed)
    images = rng.random((size, 1, 2, 1)).astype("float32")
    log_odds = 4 * (images[:, 0, 0, 0] - images[:, 0, 1, 0])
    labels = rng.random(size) < 1 / (1 + np.exp(-log_odds))
    return images, labels.astype(int)


def ece(model, data):
    return kd.evaluation.evaluate_detector(model, data, num_resamples=1).metrics["ece"]


@pytest.mark.parametrize("columns", [1, 2])
def test_temperature_has_the_smallest_likelihood_loss(columns):
    images, labels = faces(0)
    model = detector(columns)
    calibrated = calibrate(model, (images, labels))

    def loss(temperature):
        logits = 12 * (images[:, 0, 0, 0] - images[:, 0, 1, 0]).astype("float64") / temperature
        return np.mean(np.logaddexp(0, np.where(labels, -logits, logits)))

    expected = optimize.minimize_scalar(loss, bounds=(0.1, 20), method="bounded").x
    assert calibrated.temperature == pytest.approx(expected, abs=2e-3)
    assert calibrated.temperature == pytest.approx(3, rel=0.1)


@pytest.mark.parametrize("sharpness", [3.0, 0.3])
def test_calibration_error_halves_on_unseen_images(sharpness):
    model, unseen = detector(sharpness=sharpness), faces(1)
    calibrated = calibrate(model, faces(2))
    assert ece(calibrated, unseen) < ece(model, unseen) / 2
    before = kd.evaluation.evaluate_detector(model, unseen, num_resamples=1)
    after = kd.evaluation.evaluate_detector(calibrated, unseen, num_resamples=1)
    assert after.metrics["auc"] == pytest.approx(before.metrics["auc"], abs=1e-4)


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_false_positive_rate_holds_on_unseen_images(rate):
    calibrated = calibrate(detector(), faces(3, 4000), false_positive_rate=rate)
    report = kd.evaluation.evaluate_detector(calibrated, faces(4, 4000), num_resamples=1)
    false_alarms, passes = report.confusion_matrix[1]
    spread = np.sqrt(rate * (1 - rate) / (false_alarms + passes))
    assert abs(false_alarms / (false_alarms + passes) - rate) < 1.96 * spread
    assert report.threshold == calibrated.threshold


def test_expected_rate_is_never_above_the_target():
    """Mean over many draws of 99 reals; ties included."""
    rng = np.random.default_rng(5)
    for decimals in (2, 8):
        rates = []
        for _ in range(2000):
            known, unseen = np.round(rng.random((2, 99)), decimals).astype("float32")
            rates.append(np.mean(unseen >= threshold_at_rate(known, 0.05)))
        assert np.mean(rates) == pytest.approx(0.05, abs=0.01)
        assert np.mean(rates) < 0.0515


def test_threshold_without_a_rate_balances_both_recalls():
    images, labels = faces(6)
    rare = np.flatnonzero(labels)[:200]
    kept = np.concatenate([rare, np.flatnonzero(labels == 0)])
    data = images[kept], labels[kept]
    calibrated = calibrate(detector(), data)
    scores = calibrated.predict(data[0], verbose=0)[:, 0]

    def balanced_accuracy(threshold):
        right = (scores >= threshold) == (data[1] == 1)
        return np.mean([right[data[1] == label].mean() for label in (0, 1)])

    best = max(balanced_accuracy(threshold) for threshold in np.unique(scores))
    assert balanced_accuracy(calibrated.threshold) == pytest.approx(best)


def test_saved_model_keeps_everything(tmp_path):
    images, labels = faces(7, 200)
    calibrated = calibrate(detector(), (images, labels), false_positive_rate=0.1)
    calibrated.save(tmp_path / "detector.keras")
    loaded = keras.saving.load_model(tmp_path / "detector.keras")
    assert isinstance(loaded, kd.models.CalibratedClassifier)
    for name in ("temperature", "threshold", "class_names", "false_positive_rate"):
        assert getattr(loaded, name) == getattr(calibrated, name)
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), calibrated.predict(images, verbose=0)
    )
    with pytest.raises(ValueError, match="among those that calibrated this model"):
        kd.evaluation.evaluate_detector(loaded, (images, labels))


def test_evaluation_refuses_the_images_that_calibrated():
    images, labels = faces(8, 200)
    calibrated = calibrate(detector(), (images[:100], labels[:100]))
    kd.evaluation.evaluate_detector(calibrated, (images[100:], labels[100:]), num_resamples=1)
    with pytest.raises(ValueError, match="Of 103 images that can be compared, 3 are"):
        kd.evaluation.evaluate_detector(calibrated, (images[97:], labels[97:]))
    report = kd.evaluation.evaluate_detector(calibrated, (images[99:], labels[99:]))
    assert "1 of the images are among those that calibrated the model." in report.notes


def test_a_sample_of_many_images_tells_them_from_others(monkeypatch):
    calibrate_module = sys.modules["keras_deepfake.evaluation.calibrate"]
    evaluate_module = sys.modules["keras_deepfake.evaluation.evaluate_detector"]
    for module in (calibrate_module, evaluate_module):
        monkeypatch.setattr(module, "MAX_DIGESTS", 20)
    images, labels = faces(8, 1000)
    calibrated = calibrate(detector(), (images[:500], labels[:500]))
    assert len(calibrated.validation_digests) == 20
    # A twentieth of the images, of which far fewer than a hundredth are in the sample.
    mixed = np.r_[450:1000]
    with pytest.raises(ValueError, match="are among those that calibrated"):
        kd.evaluation.evaluate_detector(calibrated, (images[mixed], labels[mixed]))
    report = kd.evaluation.evaluate_detector(
        calibrated, (images[500:], labels[500:]), num_resamples=1
    )
    assert not any("calibrated the model" in note for note in report.notes)


def test_the_given_model_is_left_alone():
    images, labels = faces(9, 200)
    model = detector()
    before = model.predict(images, verbose=0)
    calibrated = calibrate(model, (images, labels))
    calibrated.classifier.set_weights([0 * weight for weight in calibrated.get_weights()])
    np.testing.assert_array_equal(model.predict(images, verbose=0), before)


def test_perfect_separation_leaves_the_temperature():
    images, _ = faces(10, 200)
    labels = (images[:, 0, 0, 0] > images[:, 0, 1, 0]).astype(int)
    with pytest.warns(UserWarning, match="separates the validation images perfectly"):
        assert calibrate(detector(), (images, labels)).temperature == 1


def test_what_cannot_be_calibrated_is_refused():
    images, labels = faces(11, 200)
    model = detector()
    inputs = keras.Input((1, 2, 1))
    flat = keras.layers.Flatten()(inputs)
    for wrong, message in (
        (calibrate(model, (images, labels)), "is calibrated already"),
        (keras.Model(inputs, keras.layers.Dense(3, "softmax")(flat)), "one or two columns"),
        (keras.Sequential([keras.layers.Dense(2)]), "built as a graph"),
        (keras.Model(inputs, keras.layers.Rescaling(99)(model(inputs))), "must be probabilities"),
    ):
        with pytest.raises(ValueError, match=message):
            calibrate(wrong, (images, labels))
    for data, arguments, message in (
        ((images, 0 * labels), {}, "all 200 images are real"),
        ((images, 1 - labels), {}, "do not favour the true class"),
        ((images * 255, labels), {}, "pixel values"),
        ((images, labels), {"false_positive_rate": 1.0}, "must lie between 0 and 1; got 1.0"),
        ((images, labels), {"false_positive_rate": 0.001}, "needs at least 999 real images"),
    ):
        with pytest.raises(ValueError, match=message):
            calibrate(model, data, **arguments)
