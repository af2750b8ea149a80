import keras
import numpy as np
import pytest

import keras_deepfake as kd


def classifier(**arguments):
    autoencoder = kd.models.ConvAutoencoder((16, 16, 3), filters=(4, 4))
    return kd.models.EncoderClassifier.from_autoencoder(autoencoder, pooling="avg", **arguments)


def test_brings_what_the_classifier_has():
    inner = classifier(class_names=("real", "fake"))
    detector = kd.models.CalibratedClassifier(inner, temperature=2.0)
    assert detector.class_names == ("real", "fake")
    assert detector.encoder is inner.encoder
    # Pooling leaves the size of the images open.
    images = np.random.default_rng(0).random((2, 24, 32, 3)).astype("float32")
    logits = np.log(inner.predict(images, verbose=0)) / 2
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(detector.predict(images, verbose=0), expected, atol=1e-6)


def test_plain_keras_models_are_wrapped_too():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "sigmoid")])
    detector = kd.models.CalibratedClassifier(model, activation="sigmoid")
    assert detector.class_names == ("fake", "real")
    assert not hasattr(detector, "encoder")
    detector.compile()
    logs = detector.evaluate(np.eye(4), np.array([0, 1, 0, 1]), return_dict=True, verbose=0)
    assert set(logs) == {"loss", "equal_error_rate", "expected_calibration_error"}


def test_wrong_arguments_are_refused():
    inner = classifier()
    with pytest.raises(ValueError, match="`threshold` must be a probability"):
        kd.models.CalibratedClassifier(inner, threshold=1.5)
    with pytest.raises(ValueError, match="`class_names` must be two strings"):
        kd.models.CalibratedClassifier(inner, class_names=("a", "b", "c"))
    with pytest.raises(ValueError, match="`temperature` must be positive"):
        kd.models.CalibratedClassifier(inner, temperature=0)
    with pytest.raises(ValueError, match="is calibrated already"):
        kd.models.CalibratedClassifier(kd.models.CalibratedClassifier(inner))
