import keras
import numpy as np
import pytest

from keras_deepfake.explanation import grad_cam
from keras_deepfake.models import ConvAutoencoder, EncoderClassifier
from keras_deepfake.models._reconstruction_residual import ReconstructionResidual

IMAGES = np.random.default_rng(0).random((8, 16, 16, 3), "float32")
LABELS = keras.utils.to_categorical([0, 1] * 4)


@pytest.fixture
def autoencoder():
    """Whose inference and training differ, by batch statistics and by a corruption."""
    noise = keras.layers.GaussianNoise(0.5, seed=0)
    model = ConvAutoencoder((16, 16, 3), (6, 4), normalization="batch", corruption=noise)
    random = np.random.default_rng(1)
    model.set_weights([random.uniform(0.1, 0.9, weight.shape) for weight in model.weights])
    return model


def residual_layer(classifier):
    return classifier.encoder.get_layer("residual")


@pytest.mark.parametrize("features", ["residual", "both"])
def test_residual_is_the_image_less_its_reconstruction(autoencoder, features):
    classifier = EncoderClassifier.from_autoencoder(autoencoder, features=features)
    expected = 10 * (IMAGES - autoencoder.predict(IMAGES, verbose=0))
    layer = residual_layer(classifier)
    for training in (False, True):
        residual = keras.ops.convert_to_numpy(layer(IMAGES, training=training))
        np.testing.assert_allclose(residual, expected, rtol=1e-5, atol=1e-4)


def test_encoder_is_the_chain_that_it_claims_to_be(autoencoder):
    classifier = EncoderClassifier.from_autoencoder(autoencoder, features="both")
    encoder = classifier.encoder
    residual = keras.ops.convert_to_numpy(encoder.get_layer("residual")(IMAGES))
    expected = np.concatenate(
        [
            autoencoder.encode(IMAGES),
            encoder.get_layer("residual_encoder").predict(residual, verbose=0),
        ],
        axis=-1,
    )
    np.testing.assert_allclose(encoder.predict(IMAGES, verbose=0), expected, rtol=1e-4, atol=1e-4)


def test_latent_is_the_default(autoencoder):
    classifiers = []
    for arguments in ({}, {"features": "latent"}):
        keras.utils.set_random_seed(0)
        classifiers.append(EncoderClassifier.from_autoencoder(autoencoder, **arguments))
    first, second = (classifier.predict(IMAGES, verbose=0) for classifier in classifiers)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(
        classifiers[0].encoder.predict(IMAGES, verbose=0), autoencoder.encode(IMAGES)
    )


def test_blocks_on_the_residual_start_afresh(autoencoder):
    classifier = EncoderClassifier.from_autoencoder(autoencoder, features="both")
    trained = autoencoder.encoder.get_weights()
    blocks = classifier.encoder.get_layer("residual_encoder").get_weights()
    latent = classifier.encoder.get_layer("latent_encoder").get_weights()
    assert [w.shape for w in blocks] == [w.shape for w in trained]
    assert not any(np.array_equal(new, old) for new, old in zip(blocks, trained, strict=True))
    assert all(np.array_equal(new, old) for new, old in zip(latent, trained, strict=True))


@pytest.mark.parametrize("features", ["residual", "both"])
def test_reconstruction_never_changes(autoencoder, features):
    before = autoencoder.get_weights()
    classifier = EncoderClassifier.from_autoencoder(autoencoder, features=features)
    layer = residual_layer(classifier)
    frozen = layer.get_weights()
    # What a user does to fine-tune after a linear probe.
    classifier.encoder.trainable = True
    classifier.trainable = True
    assert layer.trainable_weights == []
    assert not layer.autoencoder.trainable
    classifier.compile()
    classifier.fit(IMAGES, LABELS, epochs=2, verbose=0)
    for old, new in zip(frozen, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(before, autoencoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_trains(autoencoder):
    # Kernel, scale and shift of two blocks, kernel and bias of the head.
    for features, trainable_encoder, expected in [
        ("residual", True, 6 + 2),
        ("both", True, 12 + 2),
        ("residual", False, 2),
        ("both", False, 2),
    ]:
        classifier = EncoderClassifier.from_autoencoder(
            autoencoder, features=features, trainable_encoder=trainable_encoder
        )
        assert len(classifier.trainable_weights) == expected
    classifier.encoder.trainable = True
    assert len(classifier.trainable_weights) == 12 + 2
    assert len(autoencoder.encoder.trainable_weights) == 6


@pytest.mark.parametrize("features", ["residual", "both"])
def test_saving_keeps_outputs_and_flags(autoencoder, features, tmp_path):
    classifier = EncoderClassifier.from_autoencoder(
        autoencoder, features=features, pooling="gem", trainable_encoder=features == "residual"
    )
    classifier.compile()
    classifier.fit(IMAGES, LABELS, verbose=0)
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras")
    np.testing.assert_allclose(
        loaded.predict(IMAGES, verbose=0), classifier.predict(IMAGES, verbose=0), atol=1e-6
    )
    assert len(loaded.trainable_weights) == len(classifier.trainable_weights)
    frozen = residual_layer(loaded).get_weights()
    loaded.fit(IMAGES, LABELS, verbose=0)
    for old, new in zip(frozen, residual_layer(loaded).get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_pooled_classifier_accepts_other_sizes(autoencoder, tmp_path):
    classifier = EncoderClassifier.from_autoencoder(autoencoder, features="both", pooling="avg")
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras")
    for model in (classifier, loaded):
        assert model(IMAGES[:, :8, :12]).shape == (8, 2)
        with pytest.raises(ValueError, match="divisible by 2"):
            model(IMAGES[:, :7, :12])


@pytest.mark.usefixtures("in_graphs")
def test_open_sizes():
    autoencoder = ConvAutoencoder((None, None, 3), (6, 4))
    classifier = EncoderClassifier.from_autoencoder(autoencoder, features="both", pooling="max")
    assert classifier.predict(IMAGES[:, :8, :12], verbose=0).shape == (8, 2)


def test_channels_first_concatenates_channels():
    autoencoder = ConvAutoencoder((3, 16, 16), (6, 5), data_format="channels_first")
    classifier = EncoderClassifier.from_autoencoder(autoencoder, features="both", pooling="avg")
    assert classifier.encoder.output_shape == (None, 10, 4, 4)
    assert classifier.get_layer("head").get_weights()[0].shape == (10, 2)


def test_policies(autoencoder, tmp_path):
    mixed = ConvAutoencoder((16, 16, 3), (6, 4), dtype="mixed_bfloat16")
    for classifier in (
        EncoderClassifier.from_autoencoder(autoencoder, features="both", dtype="mixed_bfloat16"),
        EncoderClassifier.from_autoencoder(mixed, features="residual"),
    ):
        classifier.save(tmp_path / "classifier.keras")
        for model in (classifier, keras.saving.load_model(tmp_path / "classifier.keras")):
            for layer in model._flatten_layers():
                if layer.name != "head" and not isinstance(layer, keras.layers.InputLayer):
                    assert layer.dtype_policy.name == "mixed_bfloat16", layer.name
            assert np.isfinite(model.predict(IMAGES, verbose=0)).all()


def test_mixed_precision_does_not_round_the_image():
    identity = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Rescaling(0.5)])
    layer = ReconstructionResidual(identity, scale=1.0, dtype="mixed_bfloat16")
    # 1 + 1/1024 is 1 in bfloat16; half of it is .50049.
    images = np.full((1, 4, 4, 1), 1 + 1 / 1024, "float32")
    residual = keras.ops.convert_to_numpy(keras.ops.cast(layer(images), "float32"))
    np.testing.assert_allclose(residual, (1 + 1 / 1024) / 2, rtol=2**-8)


def test_saliency_of_the_residual(autoencoder):
    classifier = EncoderClassifier.from_autoencoder(autoencoder, features="both")
    assert grad_cam(classifier, IMAGES[:2]).shape == (2, 16, 16)


def test_sequential_encoder_and_decoder():
    class Other(keras.Model):
        def __init__(self, decoder):
            super().__init__()
            self.encoder = keras.Sequential(
                [keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3, strides=2, padding="same")]
            )
            self.decoder = decoder

    decoder = keras.Sequential(
        [keras.Input((8, 8, 4)), keras.layers.Conv2DTranspose(3, 3, strides=2, padding="same")]
    )
    classifier = EncoderClassifier.from_autoencoder(Other(decoder), features="both")
    assert classifier.predict(IMAGES, verbose=0).shape == (8, 2)
    with pytest.raises(ValueError, match="with a `decoder`"):
        EncoderClassifier.from_autoencoder(Other(None), features="residual")
    assert EncoderClassifier.from_autoencoder(Other(None)).output_shape == (None, 2)
    wrong = keras.Sequential([keras.Input((8, 8, 4)), keras.layers.Conv2D(3, 3)])
    with pytest.raises(ValueError, match="another shape"):
        EncoderClassifier.from_autoencoder(Other(wrong), features="residual")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": "image"}, "`features` must be one of .* got 'image'"),
        ({"features": "both", "copy_encoder": False}, "needs a copy"),
    ],
)
def test_argument_errors(autoencoder, arguments, message):
    with pytest.raises(ValueError, match=message):
        EncoderClassifier.from_autoencoder(autoencoder, **arguments)
