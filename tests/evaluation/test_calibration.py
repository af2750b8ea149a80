import functools
import sys

import keras
import numpy as np
import pytest
from scipy import optimize

import keras_deepfake as kd
from keras_deepfake.evaluation.calibration import stacking_weights, threshold_at_rate

# The model sees how likely an image is of class 1.
NAMES = ("real", "fake")
calibrate = functools.partial(kd.evaluation.calibrate, class_names=NAMES)
evaluate_detector = functools.partial(kd.evaluation.evaluate_detector, class_names=NAMES)


def temperature(detector):
    return 1 / detector.member_weights[0]


def detector(columns=2, sharpness=3.0):
    """Sees the true log-odds of an image, and multiplies them by `sharpness`."""
    inputs = keras.Input((1, 2, 1))
    logits = keras.layers.Flatten()(inputs)
    kernel = np.array([[4.0, 0.0], [0.0, 4.0]]) * sharpness
    # The first pixel speaks for fake, the second column.
    kernel = kernel[:, :1] - kernel[:, 1:] if columns == 1 else kernel[:, ::-1]
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
    return evaluate_detector(model, data, num_resamples=1).metrics["ece"]


@pytest.mark.parametrize("columns", [1, 2])
def test_temperature_has_the_smallest_likelihood_loss(columns):
    images, labels = faces(0)
    model = detector(columns)
    calibrated = calibrate(model, (images, labels))

    def loss(temperature):
        logits = 12 * (images[:, 0, 0, 0] - images[:, 0, 1, 0]).astype("float64") / temperature
        return np.mean(np.logaddexp(0, np.where(labels, -logits, logits)))

    expected = optimize.minimize_scalar(loss, bounds=(0.1, 20), method="bounded").x
    assert temperature(calibrated) == pytest.approx(expected, abs=2e-3)
    assert temperature(calibrated) == pytest.approx(3, rel=0.1)


@pytest.mark.parametrize("sharpness", [3.0, 0.3])
def test_calibration_error_halves_on_unseen_images(sharpness):
    model, unseen = detector(sharpness=sharpness), faces(1)
    calibrated = calibrate(model, faces(2))
    assert ece(calibrated, unseen) < ece(model, unseen) / 2
    before = evaluate_detector(model, unseen, num_resamples=1)
    after = evaluate_detector(calibrated, unseen, num_resamples=1)
    assert after.metrics["auc"] == pytest.approx(before.metrics["auc"], abs=1e-4)


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_false_positive_rate_holds_on_unseen_images(rate):
    calibrated = calibrate(detector(), faces(3, 4000), false_positive_rate=rate)
    report = evaluate_detector(calibrated, faces(4, 4000), num_resamples=1)
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


def test_abstaining_covers_each_class_of_unseen_images():
    images, labels = faces(13, 4000)
    calibrated = calibrate(detector(), faces(14, 4000), abstain=0.1)
    assert calibrated.miscoverage == 0.1
    lowest_fake, highest_real = calibrated.conformal_bounds
    scores = calibrated.scores(images)
    for covered in (scores[labels == 1] >= lowest_fake, scores[labels == 0] <= highest_real):
        # Known and unseen images both scatter.
        assert covered.mean() == pytest.approx(0.9, abs=3 * np.sqrt(2 * 0.09 / len(covered)))
    verdicts = calibrated.verdicts(images)
    assert set(verdicts) == {"fake", "real", "unsure"}
    answered, truth = verdicts != "unsure", np.array(NAMES)[labels]
    always = calibrated.verdicts_of(scores, calibrated.threshold)
    assert np.mean((verdicts == truth)[answered]) > np.mean(always == truth) + 0.05
    assert calibrate(detector(), faces(14, 200)).conformal_bounds is None


def test_threshold_without_a_rate_balances_both_recalls():
    images, labels = faces(6)
    rare = np.flatnonzero(labels)[:200]
    kept = np.concatenate([rare, np.flatnonzero(labels == 0)])
    data = images[kept], labels[kept]
    calibrated = calibrate(detector(), data)
    scores = calibrated.scores(data[0])

    def balanced_accuracy(threshold):
        right = (scores >= threshold) == (data[1] == 1)
        return np.mean([right[data[1] == label].mean() for label in (0, 1)])

    best = max(balanced_accuracy(threshold) for threshold in np.unique(scores))
    assert balanced_accuracy(calibrated.threshold) == pytest.approx(best)


def test_saved_model_keeps_everything(tmp_path):
    images, labels = faces(7, 200)
    calibrated = calibrate(detector(), (images, labels), 0.1, abstain=0.2)
    calibrated.save(tmp_path / "detector.keras")
    loaded = keras.saving.load_model(tmp_path / "detector.keras")
    assert isinstance(loaded, kd.models.Detector)
    assert loaded.arguments() | {"members": None} == calibrated.arguments() | {"members": None}
    assert loaded.conformal_bounds is not None
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), calibrated.predict(images, verbose=0)
    )
    with pytest.raises(ValueError, match="among those that calibrated this model"):
        evaluate_detector(loaded, (images, labels))


def test_evaluation_refuses_the_images_that_calibrated():
    images, labels = faces(8, 200)
    calibrated = calibrate(detector(), (images[:100], labels[:100]))
    evaluate_detector(calibrated, (images[100:], labels[100:]), num_resamples=1)
    with pytest.raises(ValueError, match="Of 103 images that can be compared, 3 are"):
        evaluate_detector(calibrated, (images[97:], labels[97:]))
    report = evaluate_detector(calibrated, (images[99:], labels[99:]))
    assert "1 of the images are among those that calibrated the model." in report.notes


def test_a_sample_of_many_images_tells_them_from_others(monkeypatch):
    calibrate_module = sys.modules["keras_deepfake.evaluation.calibration"]
    evaluate_module = sys.modules["keras_deepfake.evaluation.detector_evaluation"]
    for module in (calibrate_module, evaluate_module):
        monkeypatch.setattr(module, "MAX_DIGESTS", 20)
    images, labels = faces(8, 1000)
    calibrated = calibrate(detector(), (images[:500], labels[:500]))
    assert len(calibrated.validation_digests) == 20
    # A twentieth of the images, of which far fewer than a hundredth are in the sample.
    mixed = np.r_[450:1000]
    with pytest.raises(ValueError, match="are among those that calibrated"):
        evaluate_detector(calibrated, (images[mixed], labels[mixed]))
    report = evaluate_detector(calibrated, (images[500:], labels[500:]), num_resamples=1)
    assert not any("calibrated the model" in note for note in report.notes)


def test_the_given_model_is_left_alone():
    images, labels = faces(9, 200)
    model = detector()
    before = model.predict(images, verbose=0)
    calibrated = calibrate(model, (images, labels))
    calibrated.members[0].set_weights([0 * weight for weight in calibrated.get_weights()])
    np.testing.assert_array_equal(model.predict(images, verbose=0), before)


def test_perfect_separation_leaves_the_temperature():
    images, _ = faces(10, 200)
    labels = (images[:, 0, 0, 0] > images[:, 0, 1, 0]).astype(int)
    with pytest.warns(UserWarning, match="separates the validation images perfectly"):
        assert temperature(calibrate(detector(), (images, labels))) == 1


def test_what_cannot_be_calibrated_is_refused():
    images, labels = faces(11, 200)
    model = detector()
    inputs = keras.Input((1, 2, 1))
    flat = keras.layers.Flatten()(inputs)
    for wrong, message in (
        (keras.Model(inputs, keras.layers.Dense(3, "softmax")(flat)), "two columns of prob"),
        (keras.Sequential([keras.layers.Dense(2)]), "built as a graph"),
        (keras.Model(inputs, keras.layers.Rescaling(99)(model(inputs))), "must give probabilities"),
    ):
        with pytest.raises(ValueError, match=message):
            calibrate(wrong, (images, labels))
    for data, arguments, message in (
        ((images, 0 * labels), {}, "got 0 fakes and 200 reals"),
        ((images * 255, labels), {}, "pixel values"),
        ((images, labels), {"false_positive_rate": 1.0}, "above 0 and below 1; got 1.0"),
        ((images, labels), {"false_positive_rate": 0.001}, "needs at least 999 real images"),
        ((images, labels), {"abstain": 0}, "`abstain` must be"),
        ((images, labels), {"abstain": 0.001}, "needs at least 999 fake images"),
    ):
        with pytest.raises(ValueError, match=message):
            calibrate(model, data, **arguments)


def test_a_detector_is_calibrated_anew():
    data = faces(12, 400)
    once = calibrate(detector(), data)
    again = calibrate(once, data, false_positive_rate=0.1)
    assert again.member_weights == once.member_weights
    assert again.threshold != once.threshold


def test_stacking_weights_have_the_smallest_likelihood_loss():
    """Against a solver of bounded problems; the third member is noise, the fourth misleads."""
    rng = np.random.default_rng(0)
    fakes = rng.random(300) < 0.4
    signal = np.where(fakes, 1.0, -1.0)[:, None]
    log_odds = signal * [1.0, 0.7, 0.0, -0.4] + rng.normal(0, [1.0, 1.5, 1.0, 1.0], (300, 4))

    def loss(solution):
        margins = np.where(fakes, 1, -1) * (log_odds @ solution[:4] + solution[4])
        penalty = np.sum((solution[:4] - 0.25) ** 2) / 2 / 300
        return np.mean(np.logaddexp(0, -margins)) + penalty

    bounds = [(0, None)] * 4 + [(None, None)]
    expected = optimize.minimize(loss, np.full(5, 0.1), bounds=bounds, tol=1e-12).x
    weights, bias = stacking_weights(fakes, log_odds)
    np.testing.assert_allclose([*weights, bias], expected, atol=2e-4)
    assert weights[3] == 0.0


def test_separable_members_get_finite_weights():
    fakes = np.arange(20) < 10
    log_odds = np.where(fakes, 3.0, -3.0)[:, None] * [1.0, 2.0]
    weights, bias = stacking_weights(fakes, log_odds)
    assert 0 < weights[0] < 10
    assert np.isfinite(bias)


def test_probabilities_that_mislead_are_brought_to_one_half():
    images, labels = faces(11, 200)
    with pytest.warns(UserWarning, match="do not favour the true class"):
        misled = calibrate(detector(), (images, 1 - labels))
    assert temperature(misled) == 100
    fakes = np.arange(20) < 10
    with pytest.warns(UserWarning, match="do not favour the true class"):
        weights, _ = stacking_weights(fakes, np.where(fakes, -3.0, 3.0)[:, None] * [1.0, 2.0])
    assert weights == (0.005, 0.005)


def test_stacked_ensemble_is_better_than_its_members(tmp_path):
    """Two members that see one half of the evidence each."""
    rng = np.random.default_rng(1)
    images = rng.random((1500, 1, 2, 1)).astype("float32")
    labels = rng.random(1500) < 1 / (1 + np.exp(-6 * (images.sum((1, 2, 3)) - 1)))

    def one_eyed(pixel):
        model = detector(columns=1)
        kernel = np.zeros((2, 1))
        kernel[pixel] = 4
        model.layers[-1].set_weights([kernel])
        return model

    members = [one_eyed(0), one_eyed(1)]
    stacked = calibrate(members, (images[:500], labels[:500].astype(int)))
    stacked.save(tmp_path / "stacked.keras")
    test = images[500:], labels[500:].astype(int)
    loaded = keras.saving.load_model(tmp_path / "stacked.keras")
    report = evaluate_detector(loaded, test, num_resamples=1)
    for member in members:
        assert report.metrics["auc"] > evaluate_detector(member, test).metrics["auc"] + 0.03
    assert report.metrics["ece"] < 0.06
    np.testing.assert_allclose(
        stacked.predict(test[0], verbose=0)[:, 1], stacked.scores(test[0]), atol=1e-6
    )
