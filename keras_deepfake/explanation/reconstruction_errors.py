"""Where in an image an autoencoder fails."""

import keras
import numpy as np

from keras_deepfake._pixels import unit_pixels


def reconstruction_error_map(autoencoder, images, batch_size=32):
    """Squared error of the reconstruction, pixel by pixel.

    The mean of a map over its pixels is the image's mean squared error, as
    `ConvAutoencoder.reconstruction_error` gives it. Draw it with `plot_overlays`.

    Args:
        autoencoder: Keras model from images to images, such as a `ConvAutoencoder`.
        images: Array or tensor of shape `(images, height, width, channels)`, or channels first
            if the autoencoder is so. uint8, which is scaled, or float in [0, 1].
        batch_size: Integer, how many images are reconstructed at a time.

    Returns:
        Float32 array of shape `(images, height, width)`, the mean over the channels, in squared
        units of the 0 to 1 scale.

    Raises:
        ValueError: for images of another dtype or value range, and if the model does not return
            images of the same shape.

    Example:
    ```python
    autoencoder = kd.models.ConvAutoencoder(image_shape=(32, 32, 3), filters=(8, 4))
    images = np.random.default_rng(0).uniform(size=(2, 32, 32, 3))
    maps = kd.explanation.reconstruction_error_map(autoencoder, images)
    figure = kd.visualization.plot_overlays(images, maps, label="Squared error")
    ```
    """
    images = unit_pixels(images)
    reconstructions = np.concatenate(
        [
            autoencoder.predict_on_batch(images[start : start + batch_size])
            for start in range(0, len(images), batch_size)
        ]
    )
    if reconstructions.shape != images.shape:
        raise ValueError(
            "`autoencoder` must return images of the shape that it is given; got "
            f"{reconstructions.shape} for {images.shape}."
        )
    default = keras.config.image_data_format()
    channels_first = getattr(autoencoder, "data_format", default) == "channels_first"
    error = np.square(images - reconstructions.astype("float32"))
    return error.mean(axis=1 if channels_first else -1)
