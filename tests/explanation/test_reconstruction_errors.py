import keras
import numpy as np
import pytest

from keras_deepfake.explanation import reconstruction_error_map
from keras_deepfake.models import ConvAutoencoder

IMAGES = np.random.default_rng(0).uniform(size=(3, 8, 16, 3)).astype("float32")


def test_mean_of_a_map_is_the_reconstruction_error_of_its_image():
    autoencoder = ConvAutoencoder((8, 16, 3), filters=(4,))
    maps = reconstruction_error_map(autoencoder, IMAGES, batch_size=2)
    assert maps.shape == (3, 8, 16)
    assert maps.dtype == "float32"
    np.testing.assert_allclose(
        maps.mean(axis=(1, 2)), autoencoder.reconstruction_error(IMAGES), rtol=1e-5
    )


@pytest.mark.parametrize("channels_first", [False, True])
def test_error_of_a_known_model(channels_first):
    images = np.moveaxis(IMAGES, -1, 1) if channels_first else IMAGES
    inputs = keras.Input(images.shape[1:])
    halving = keras.Model(inputs, keras.layers.Rescaling(0.5)(inputs))
    maps = reconstruction_error_map(halving, images)
    np.testing.assert_allclose(maps, np.mean((IMAGES / 2) ** 2, axis=-1), rtol=1e-5)


def test_bytes_are_scaled():
    inputs = keras.Input((1, 1, 1))
    halving = keras.Model(inputs, keras.layers.Rescaling(0.5)(inputs))
    maps = reconstruction_error_map(halving, np.full((1, 1, 1, 1), 51, "uint8"))
    np.testing.assert_allclose(maps, 0.01, rtol=1e-5)


def test_errors():
    inputs = keras.Input((8, 16, 3))
    pooling = keras.Model(inputs, keras.layers.MaxPooling2D()(inputs))
    halving = keras.Model(inputs, keras.layers.Rescaling(0.5)(inputs))
    poisoned = keras.Model(inputs, keras.layers.Rescaling(np.inf)(inputs))
    for arguments, message in (
        ((pooling, IMAGES), "must return finite images of the shape"),
        ((poisoned, IMAGES), "must return finite images of the shape"),
        ((halving, IMAGES * 255), r"pixel values in \[0, 1\]"),
        ((halving, IMAGES * np.nan), r"`images\[0\]` must hold finite"),
        ((halving, IMAGES[:0]), "one or more images"),
        ((halving, IMAGES[:, :4]), r"takes, \(None, 8, 16, 3\)"),
        ((halving, IMAGES, 1.5), "`batch_size` must be an integer"),
        (("autoencoder.keras", IMAGES), "`autoencoder` must be a built Keras model"),
    ):
        with pytest.raises(ValueError, match=message):
            reconstruction_error_map(*arguments)


def test_weights_that_are_not_finite():
    # On TensorFlow the ReLU behind them makes 0 of NaN.
    autoencoder = ConvAutoencoder((8, 16, 3), filters=(4,))
    autoencoder.set_weights([weights * np.nan for weights in autoencoder.get_weights()])
    with pytest.raises(ValueError, match="not finite"):
        reconstruction_error_map(autoencoder, IMAGES)
