import keras
import numpy as np

import keras_deepfake as kd
from keras_deepfake.models.model_copy import copy_model

IMAGES = np.random.default_rng(0).uniform(0.2, 0.4, (4, 8, 8, 3)).astype("float32")


def test_copy_computes_with_adapted_statistics():
    # The layer derives what it computes with from its variables when they are loaded.
    normalization = keras.layers.Normalization()
    normalization.adapt(IMAGES)
    inputs = keras.Input((8, 8, 3))
    inner = keras.Model(inputs, normalization(inputs))
    outer = keras.Model(inputs, keras.layers.Conv2D(2, 3)(inner(inputs)))
    expected = outer.predict_on_batch(IMAGES)
    np.testing.assert_allclose(copy_model(outer).predict_on_batch(IMAGES), expected, atol=1e-6)


def test_copy_shares_nothing():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    copy = copy_model(model)
    before = model.get_weights()
    copy.set_weights([weights + 1 for weights in before])
    for weights, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, expected)


def test_training_the_copy_leaves_the_original_usable():
    """On JAX a step deletes the arrays that it is given, which must not be the original's."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    before = model.get_weights()
    copy = copy_model(model)
    copy.compile("sgd", "mse")
    copy.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
    assert model.predict(np.ones((1, 4)), verbose=0).shape == (1, 2)


def test_copy_knows_what_a_scope_names():
    def squashed(x):
        return keras.ops.tanh(x)

    with keras.saving.custom_object_scope({"squashed": squashed}):
        autoencoder = kd.ConvAutoencoder((8, 8, 3), (4,), activation=squashed)
        classifier = kd.EncoderClassifier.from_autoencoder(autoencoder)
        detector = kd.Detector([classifier, classifier])
    np.testing.assert_allclose(
        detector.scores(IMAGES), classifier.predict(IMAGES, verbose=0)[:, 0], atol=1e-5
    )
