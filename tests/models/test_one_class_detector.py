import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops

from keras_deepfake.evaluation import evaluate_detector, predict_images
from keras_deepfake.models import ConvAutoencoder, OneClassDetector
from keras_deepfake.models.encoder_classifier import EncoderClassifier

SIZE = 8


def reals(count, seed=0):
    """Images of a brightness, a contrast and a colour that vary."""
    random = np.random.default_rng(seed)
    contrast = random.uniform(0.05, 0.15, (count, 1, 1, 1))
    colour = random.uniform(0.4, 0.6, (count, 1, 1, 3))
    return (colour + contrast * random.uniform(-1, 1, (count, SIZE, SIZE, 3))).astype("float32")


def fakes(count, seed=100):
    """With the checkerboard that some upsampling leaves."""
    row, column = np.indices((SIZE, SIZE))
    checkerboard = ((row + column) % 2 - 0.5).astype("float32")
    return reals(count, seed) + 0.2 * checkerboard[..., None]


@pytest.fixture
def autoencoder():
    return ConvAutoencoder((SIZE, SIZE, 3), (4,), normalization="batch")


@pytest.fixture
def detector(autoencoder):
    detector = OneClassDetector.from_autoencoder(autoencoder, false_positive_rate=0.1)
    detector.adapt(reals(400))
    return detector


def moments(maps, count=4):
    values = maps.astype("float64")
    mean, deviation = values.mean(axis=(1, 2)), values.std(axis=(1, 2))
    standard = (values - mean[:, None, None]) / np.maximum(deviation[:, None, None], 1e-6)
    every = [mean, deviation, (standard**3).mean(axis=(1, 2)), (standard**4).mean(axis=(1, 2))]
    return np.hstack(every[:count])


def test_formula_against_numpy(autoencoder):
    from keras_deepfake.layers import SRMResidual

    fit, validation, new = reals(300), reals(99, seed=1), reals(20, seed=2)
    detector = OneClassDetector.from_autoencoder(autoencoder, false_positive_rate=0.05)
    detector.adapt(fit, validation_data=validation)

    def features(images):
        residual = 255 * (images - autoencoder.predict(images, verbose=0))
        high = ops.convert_to_numpy(SRMResidual((0, 255), clip=None)(residual))
        parts = [moments(residual), moments(high), moments(autoencoder.encode(images), 2)]
        return np.arcsinh(np.hstack(parts))

    x = features(fit)
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    z = (x - mean) / deviation
    n, p = z.shape
    s = z.T @ z / n
    # Ledoit and Wolf's estimator, with their names.
    d2 = np.linalg.norm(s - np.eye(p)) ** 2
    b2 = sum(np.linalg.norm(np.outer(row, row) - s) ** 2 for row in z) / n**2
    covariance = b2 / d2 * np.eye(p) + (1 - b2 / d2) * s

    def distance(images):
        z = (features(images) - mean) / deviation
        return np.einsum("ni,ij,nj->n", z, np.linalg.inv(covariance), z)

    # The fifth highest of 99 leaves 5 % of 100 at or above.
    threshold = np.sort(distance(validation))[-5]
    expected = distance(new) / (distance(new) + threshold)
    probabilities = detector.predict(new, verbose=0)
    np.testing.assert_allclose(probabilities[:, 0], expected, rtol=5e-3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    called_fake = detector.predict(validation, verbose=0)[:, 0] >= 0.5
    assert called_fake.sum() == 4


def test_false_positive_rate_holds_on_unseen_reals(autoencoder):
    rate, held_out, new = 0.1, 199, 2000
    detector = OneClassDetector.from_autoencoder(autoencoder, false_positive_rate=rate)
    achieved = []
    for seed in range(4):
        detector.adapt(reals(held_out + 300, seed=seed), validation_split=held_out / 499, seed=seed)
        scores = detector.predict(reals(new, seed=50 + seed), batch_size=500, verbose=0)
        achieved.append(np.mean(scores[:, 0] >= 0.5))
    # The threshold is that of a beta distribution of `held_out` draws; then come the new ones.
    deviation = math.sqrt(rate * (1 - rate) * (1 / held_out + 1 / new))
    assert np.abs(np.array(achieved) - rate).max() < 3.5 * deviation
    assert abs(np.mean(achieved) - rate) < 3 * deviation / 2


def test_finds_what_differs(detector):
    is_fake = [1] * 100 + [0] * 100
    images = np.concatenate([fakes(100), reals(100, seed=7)])
    report = evaluate_detector(detector, (images, is_fake), num_resamples=50)
    assert report.metrics["auc"] > 0.95
    assert report.threshold == 0.5
    assert "10 %" in report.threshold_source
    verdicts = [row.verdict for row in predict_images(detector, fakes(4))]
    assert verdicts == ["fake"] * 4


def test_column_of_fake(autoencoder, detector):
    turned = OneClassDetector.from_autoencoder(
        autoencoder, class_names=("real", "fake"), false_positive_rate=0.1
    )
    turned.adapt(reals(400))
    np.testing.assert_allclose(
        turned.predict(reals(5, seed=3), verbose=0)[:, ::-1],
        detector.predict(reals(5, seed=3), verbose=0),
        rtol=1e-5,
    )


def test_saving(detector, tmp_path):
    detector.save(tmp_path / "detector.keras")
    loaded = keras.saving.load_model(tmp_path / "detector.keras")
    images = reals(5, seed=3)
    np.testing.assert_allclose(
        loaded.predict(images, verbose=0), detector.predict(images, verbose=0), rtol=1e-5
    )
    assert loaded.false_positive_rate == 0.1
    assert loaded.class_names == ("fake", "real")
    assert loaded.trainable_weights == []
    loaded.compile()
    loaded.evaluate(images, keras.utils.to_categorical([0, 1, 1, 0, 1]), verbose=0)


def test_the_autoencoder_stays_as_it_is(autoencoder):
    before = autoencoder.get_weights()
    OneClassDetector.from_autoencoder(autoencoder, false_positive_rate=0.1).adapt(reals(400))
    assert autoencoder.trainable_weights
    assert autoencoder.encoder.trainable
    for old, new in zip(before, autoencoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_not_adapted(autoencoder, tmp_path):
    detector = OneClassDetector.from_autoencoder(autoencoder)
    detector.save(tmp_path / "detector.keras")
    for model in (detector, keras.saving.load_model(tmp_path / "detector.keras")):
        with pytest.raises(ValueError, match="adapt"):
            model.predict(reals(2), verbose=0)
        with pytest.raises(ValueError, match="adapt"):
            evaluate_detector(model, (reals(2), [0, 1]))
        assert np.isnan(ops.convert_to_numpy(model(reals(2)))).all()


def test_adapting_again_and_from_batches_of_every_kind(autoencoder, detector):
    images, new = reals(400, seed=5), reals(5, seed=6)
    detector.adapt(images)
    expected = detector.predict(new, verbose=0)
    first, second, third, fourth = np.split(images, 4)
    real = np.tile([0.0, 1.0], (100, 1))
    other = OneClassDetector.from_autoencoder(autoencoder, false_positive_rate=0.1)
    other.adapt([first, (second, second), (third, real), (fourth, np.zeros(100))])
    np.testing.assert_allclose(other.predict(new, verbose=0), expected, rtol=1e-3)


def test_channels_first():
    autoencoder = ConvAutoencoder((3, SIZE, SIZE), (5,), data_format="channels_first")
    detector = OneClassDetector.from_autoencoder(autoencoder)
    assert detector.get_layer("distance").mean.shape == (12 + 36 + 10,)


def test_mixed_precision(autoencoder):
    mixed = ConvAutoencoder((SIZE, SIZE, 3), (4,), normalization="batch", dtype="mixed_bfloat16")
    mixed.set_weights(autoencoder.get_weights())
    scores = []
    for model in (autoencoder, mixed):
        detector = OneClassDetector.from_autoencoder(model)
        detector.adapt(reals(400))
        scores.append(detector.predict(reals(20, seed=1), verbose=0)[:, 0])
    np.testing.assert_allclose(*scores, atol=0.1)


def test_few_images(autoencoder):
    detector = OneClassDetector.from_autoencoder(autoencoder, false_positive_rate=0.05)
    with pytest.raises(ValueError, match=r"at least 19 others .* there are 42 and 18"):
        detector.adapt(reals(60))
    with pytest.warns(UserWarning, match="fitted to 44 images in 56 features"):
        detector.adapt(reals(63))
    assert np.isfinite(detector.predict(reals(3), verbose=0)).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (reals(80) * 255, "Divide values"),
        (np.full((80, SIZE, SIZE, 3), np.nan, "float32"), "from nan"),
        (reals(80)[0], "4 axes"),
        ((reals(80), np.zeros(80)), "Of a pair"),
        ([(reals(80), np.tile([1.0, 0.0], (80, 1)))], "some are fake"),
        ([(reals(80), np.ones(80))], "some are fake"),
        ([], "no images"),
        (3, "an array of images"),
        (SimpleNamespace(paths=("a.png",)), "reconstruction_dataset"),
    ],
)
def test_data_errors(autoencoder, data, message):
    detector = OneClassDetector.from_autoencoder(autoencoder, false_positive_rate=0.2)
    with pytest.raises(ValueError, match=message):
        detector.adapt(data)


def test_argument_errors(autoencoder):
    make = OneClassDetector.from_autoencoder
    for rate in (0, 1, 5):
        with pytest.raises(ValueError, match="`false_positive_rate`"):
            make(autoencoder, false_positive_rate=rate)
    with pytest.raises(ValueError, match="`class_names`"):
        make(autoencoder, class_names=("fake",))
    with pytest.raises(ValueError, match="`encoder` and `decoder`"):
        make(EncoderClassifier.from_autoencoder(autoencoder))
    wrong = keras.Sequential([keras.Input((4, 4, 4)), keras.layers.Conv2D(3, 3)])
    with pytest.raises(ValueError, match="must restore images"):
        OneClassDetector(autoencoder.encoder, wrong)
    with pytest.raises(ValueError, match="`validation_split`"):
        make(autoencoder).adapt(reals(80), validation_split=1)
