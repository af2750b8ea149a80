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
    keras.config.set_image_data_format("channels_first" if channels_first else "channels_last")
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
    with pytest.raises(ValueError, match="must return finite images of the shape"):
        reconstruction_error_map(pooling, IMAGES)
    with pytest.raises(ValueError, match="must return finite images of the shape"):
        reconstruction_error_map(poisoned, IMAGES)
    with pytest.raises(ValueError, match=r"pixel values in \[0, 1\]"):
        reconstruction_error_map(halving, IMAGES * 255)
    with pytest.raises(ValueError, match=r"`images\[0\]` must hold finite"):
        reconstruction_error_map(halving, IMAGES * np.nan)
    with pytest.raises(ValueError, match="one or more images"):
        reconstruction_error_map(halving, IMAGES[:0])
    with pytest.raises(ValueError, match=r"takes, \(None, 8, 16, 3\)"):
        reconstruction_error_map(halving, IMAGES[:, :4])
    with pytest.raises(ValueError, match="`batch_size` must be an integer"):
        reconstruction_error_map(halving, IMAGES, batch_size=1.5)
    with pytest.raises(ValueError, match="`autoencoder` must be a built Keras model"):
        reconstruction_error_map("autoencoder.keras", IMAGES)


def test_weights_that_are_not_finite():
    # On TensorFlow the ReLU behind them makes 0 of NaN.
    autoencoder = ConvAutoencoder((8, 16, 3), filters=(4,))
    autoencoder.set_weights([weights * np.nan for weights in autoencoder.get_weights()])
    with pytest.raises(ValueError, match="not finite"):
        reconstruction_error_map(autoencoder, IMAGES)
