import keras
import numpy as np
import pytest

from keras_deepfake.layers import ConvBlock, ConvTransposeBlock, MaskingNoise
from keras_deepfake.models import ConvAutoencoder

IMAGES = np.random.default_rng(0).random((6, 16, 16, 3), "float32")


def small(**arguments):
    return ConvAutoencoder(**{"image_shape": (16, 16, 3), "filters": (6, 4), **arguments})


def test_defaults_are_the_study():
    autoencoder = ConvAutoencoder()
    assert autoencoder.count_params() == 249_219
    assert autoencoder.encoder.count_params() == 120_000
    assert autoencoder.encoder.output_shape == (None, 32, 32, 32)
    blocks = [*autoencoder.encoder.layers[1:], *autoencoder.decoder.layers[1:-1]]
    assert [type(block) for block in blocks] == [ConvBlock] * 3 + [ConvTransposeBlock] * 3
    assert [block.filters for block in blocks] == [168, 64, 32, 32, 64, 168]
    for block in blocks:
        assert block.convolution.kernel_size == (3, 3)
        assert block.convolution.strides == (2, 2)
        assert block.convolution.padding == "same"
        assert block.activation is keras.activations.relu
    output = autoencoder.decoder.layers[-1]
    assert (output.filters, output.strides) == (3, (1, 1))
    assert output.activation is keras.activations.relu


def test_default_compile_settings():
    autoencoder = small()
    autoencoder.compile()
    assert isinstance(autoencoder.optimizer, keras.optimizers.Adam)
    assert float(autoencoder.optimizer.learning_rate) == pytest.approx(1e-3)
    assert isinstance(autoencoder.loss, keras.losses.MeanSquaredError)
    history = autoencoder.fit(IMAGES, IMAGES, verbose=0).history
    assert set(history) == {"loss", "accuracy"}


def test_accuracy_needs_a_strongest_channel_along_the_last_axis():
    for arguments in (
        {"image_shape": (16, 16, 1)},
        {"image_shape": (3, 16, 16), "data_format": "channels_first"},
    ):
        autoencoder = small(**arguments)
        assert autoencoder.default_compile_arguments()["metrics"] == []


def test_given_compile_settings_win():
    autoencoder = small()
    autoencoder.compile("sgd", loss="mae", metrics=["mse"], run_eagerly=True)
    assert isinstance(autoencoder.optimizer, keras.optimizers.SGD)
    assert autoencoder.run_eagerly
    assert set(autoencoder.fit(IMAGES, IMAGES, verbose=0).history) == {"loss", "mse"}


def test_accuracy_is_the_share_of_pixels_with_the_right_strongest_channel():
    autoencoder = small()
    autoencoder.compile()
    reported = autoencoder.evaluate(IMAGES, IMAGES, verbose=0, return_dict=True)["accuracy"]
    predicted = autoencoder.predict(IMAGES, verbose=0)
    expected = np.mean(predicted.argmax(-1) == IMAGES.argmax(-1))
    assert reported == pytest.approx(expected, abs=1e-6)


def test_encode_decode_and_error_agree_with_the_model():
    autoencoder = small(corruption=keras.layers.GaussianNoise(0.5))
    latent = autoencoder.encode(IMAGES, batch_size=4)
    assert latent.shape == (6, 4, 4, 4)
    images = autoencoder.decode(latent, batch_size=4)
    np.testing.assert_allclose(images, autoencoder.predict(IMAGES, verbose=0), atol=1e-5)
    error = autoencoder.reconstruction_error(IMAGES, batch_size=4)
    assert error.shape == (6,)
    np.testing.assert_allclose(error, ((IMAGES - images) ** 2).mean(axis=(1, 2, 3)), rtol=1e-4)


def test_no_nan_hides_in_a_decoded_image():
    """On TensorFlow a ReLU makes 0 of it."""
    autoencoder = small()
    latent = autoencoder.encode(IMAGES)
    with pytest.raises(ValueError, match="`z` must be finite"):
        autoencoder.decode(latent * np.nan)
    autoencoder.set_weights([weights * np.nan for weights in autoencoder.get_weights()])
    with pytest.raises(ValueError, match="weights that are not finite"):
        autoencoder.decode(latent)


def test_a_corruption_of_another_data_format_is_refused():
    with pytest.raises(ValueError, match="`corruption` must have the `data_format`"):
        small(corruption=MaskingNoise(0.5, data_format="channels_first"))


def test_corruption_acts_in_training_only():
    autoencoder = small(corruption=keras.layers.GaussianNoise(0.5, seed=0))
    clean = keras.ops.convert_to_numpy(autoencoder(IMAGES, training=False))
    noisy = keras.ops.convert_to_numpy(autoencoder(IMAGES, training=True))
    assert np.abs(clean - noisy).max() > 1e-3


def test_an_augmentation_of_keras_acts_in_training_only():
    autoencoder = small(corruption=keras.layers.RandomInvert(1.0, value_range=(0, 1), seed=0))
    called = keras.ops.convert_to_numpy(autoencoder(IMAGES))
    np.testing.assert_allclose(called, autoencoder.predict(IMAGES, verbose=0), atol=1e-6)
    trained = keras.ops.convert_to_numpy(autoencoder(IMAGES, training=True))
    assert np.abs(trained - called).max() > 1e-4


def test_training_reduces_the_error():
    autoencoder = small()
    autoencoder.compile(keras.optimizers.Adam(0.01))
    before = autoencoder.reconstruction_error(IMAGES).mean()
    autoencoder.fit(IMAGES, IMAGES, epochs=15, verbose=0)
    assert autoencoder.reconstruction_error(IMAGES).mean() < 0.8 * before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_shape": (250, 256, 3)}, "Use 248 or 256 instead of 250"),
        ({"image_shape": (15, 15, 3)}, "Use 12 or 16 instead of 15"),
        ({"image_shape": (3, 8, 3)}, "Use 4 instead of 3"),
        ({"image_shape": (16, 16)}, "height, width and channels"),
        ({"image_shape": (16, 16, None)}, "channels"),
        ({"filters": ()}, "`filters`"),
        ({"filters": (8, 0)}, r"`filters\[1\]`"),
        ({"filters": (8, 2.5)}, r"`filters\[1\]`"),
        ({"normalization": "group"}, "`normalization` must be one of"),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    filters = arguments.pop("filters", (6, 4))
    if arguments.get("image_shape") == (250, 256, 3):
        filters = (6, 4, 4)
    with pytest.raises(ValueError, match=message):
        small(filters=filters, **arguments)


def test_single_image_is_refused_with_advice():
    with pytest.raises(ValueError, match=r"x\[None\]"):
        small().encode(IMAGES[0])


@pytest.mark.usefixtures("in_graphs")
def test_open_image_size():
    autoencoder = small(image_shape=(None, None, 3))
    assert autoencoder.predict(IMAGES[:, :8, :12], verbose=0).shape == (6, 8, 12, 3)


def test_channels_first_builds():
    autoencoder = small(image_shape=(3, 16, 16), data_format="channels_first")
    assert autoencoder.encoder.output_shape == (None, 4, 4, 4)
    assert autoencoder.output_shape == (None, 3, 16, 16)


@pytest.mark.usefixtures("in_graphs")
def test_channels_first_gives_the_same_numbers():
    last = small()
    first = small(image_shape=(3, 16, 16), data_format="channels_first")
    first.set_weights(last.get_weights())
    # Without its compiler TensorFlow has this convolution on some processors only.
    first.compile(jit_compile=keras.backend.backend() != "torch")
    outputs = first.predict(IMAGES.transpose(0, 3, 1, 2), verbose=0)
    expected = last.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(outputs.transpose(0, 2, 3, 1), expected, atol=1e-5)


def test_parts_are_savable_by_themselves(tmp_path):
    autoencoder = small()
    autoencoder.encoder.save(tmp_path / "encoder.keras")
    encoder = keras.saving.load_model(tmp_path / "encoder.keras")
    expected = autoencoder.encode(IMAGES)
    np.testing.assert_allclose(encoder.predict(IMAGES, verbose=0), expected, atol=1e-6)


def test_weights_file_round_trip(tmp_path):
    one, two = small(), small()
    one.save_weights(tmp_path / "autoencoder.weights.h5")
    two.load_weights(tmp_path / "autoencoder.weights.h5")
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_clone_computes_the_same_after_taking_the_weights():
    autoencoder = small(corruption=keras.layers.GaussianNoise(0.1))
    clone = keras.models.clone_model(autoencoder)
    clone.set_weights(autoencoder.get_weights())
    expected = autoencoder.predict(IMAGES, verbose=0)
    np.testing.assert_array_equal(clone.predict(IMAGES, verbose=0), expected)


def test_training_state_survives_saving(tmp_path):
    autoencoder = small()
    autoencoder.compile(keras.optimizers.Adam(0.01))
    autoencoder.fit(IMAGES, IMAGES, epochs=2, batch_size=6, verbose=0)
    autoencoder.save(tmp_path / "autoencoder.keras")
    loaded = keras.saving.load_model(tmp_path / "autoencoder.keras")
    assert int(loaded.optimizer.iterations) == 2
    for model in (autoencoder, loaded):
        model.fit(IMAGES, IMAGES, batch_size=6, verbose=0)
    for a, b in zip(autoencoder.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.usefixtures("in_graphs")
def test_jit_compiled_training():
    autoencoder = small(filters=(4,))
    autoencoder.compile(jit_compile=True)
    history = autoencoder.fit(IMAGES, IMAGES, batch_size=6, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_two_runs_with_one_seed_end_with_the_same_weights():
    runs = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        autoencoder = small(corruption=keras.layers.GaussianNoise(0.1))
        autoencoder.compile()
        autoencoder.fit(IMAGES, IMAGES, epochs=2, batch_size=3, verbose=0)
        runs.append(autoencoder.get_weights())
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a, b)
