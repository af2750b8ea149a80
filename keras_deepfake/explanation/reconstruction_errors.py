"""Where in an image an autoencoder fails."""

import keras
import numpy as np

from keras_deepfake._arguments import MOST_PLACES, check_integer
from keras_deepfake.explanation._images import check_images
from keras_deepfake.models.image_batches import image_layout
from keras_deepfake.models.prediction import check_finite_weights, predict_batch


def reconstruction_error_map(autoencoder, images, batch_size=32):
    """Squared error of the reconstruction, pixel by pixel.

    The mean of a map over its pixels is the image's mean squared error, as
    `ConvAutoencoder.reconstruction_error` gives it. Draw it with `plot_overlays`.

    Args:
        autoencoder: Keras model from images to images, such as a `ConvAutoencoder`.
        images: Array or tensor of shape `(images, height, width, channels)`, or channels first
            if the autoencoder is so. uint8, which is scaled, or floating point in [0, 1].
        batch_size: Integer, how many images are reconstructed at a time.

    Returns:
        Float32 array of shape `(images, height, width)`, the mean over the channels, in squared
        units of the 0 to 1 scale.

    Raises:
        ValueError: for images of another shape, dtype or value range, for what is no built Keras
            model, and for a model that does not return finite images of the same shape.

    Example:
    ```python
    autoencoder = kd.models.ConvAutoencoder(image_shape=(32, 32, 3), filters=(8, 4))
    images = np.random.default_rng(0).uniform(size=(2, 32, 32, 3))
    maps = kd.explanation.reconstruction_error_map(autoencoder, images)
    figure = kd.visualization.plot_overlays(images, maps, label="Squared error")
    ```
    """
    batch_size = check_integer("batch_size", batch_size, 1, MOST_PLACES)
    if not isinstance(autoencoder, keras.Model) or not autoencoder.built:
        raise ValueError(
            "`autoencoder` must be a built Keras model from images to images; got "
            f"{type(autoencoder).__name__}."
        )
    images = check_images(images, autoencoder)
    check_finite_weights(autoencoder)
    reconstructions = np.concatenate(
        [
            predict_batch(autoencoder, images[start : start + batch_size])
            for start in range(0, len(images), batch_size)
        ]
    ).astype("float32")
    if reconstructions.shape != images.shape or not np.isfinite(reconstructions).all():
        raise ValueError(
            "`autoencoder` must return finite images of the shape that it is given; got shape "
            f"{reconstructions.shape} for {images.shape}."
        )
    _, channels_first = image_layout(autoencoder.input_shape)
    error = np.square(images - reconstructions)
    return error.mean(axis=1 if channels_first else -1)
