"""The model that is exported: raw images in, probabilities out."""

import contextlib

import keras
from keras import ops

from keras_deepfake.models.image_batches import image_layout

INPUT, OUTPUT = "images", "probabilities"


def served_model(detector):
    """A Keras model of uint8 images of any size, with everything that a detector does inside.

    Args:
        detector: A `Detector`.

    Returns:
        A functional model from `images`, uint8 of shape `(batch, height, width, channels)`, to
        `{"probabilities": …}`, float32 of shape `(batch, 2)`. Images are resized where the
        detector has an `image_size`.
    """
    channels, channels_first = image_layout(detector.input_shape)
    images = keras.Input((None, None, channels), dtype="uint8", name=INPUT)
    pixels = RawImages(detector.image_size, channels_first, name="raw_images")(images)
    model = keras.Model(images, {OUTPUT: detector(pixels)}, name="served")
    # Keras exports only what was called once.
    model(ops.zeros((1, *(detector.image_size or (64, 64)), channels), "uint8"))
    return model


class RawImages(keras.layers.Layer):
    """Pixels in [0, 1], of one size, of uint8 images of any.

    Resizing is bilinear, and antialiased along a side that shrinks, as images are resized that a
    detector reads. It is a product with a matrix for each side, as no format but TensorFlow's has
    an operator that computes the same.

    Args:
        image_size: `(height, width)`, or `None` to keep the size.
        channels_first: Boolean, the layout of the output.
        **kwargs: Base layer arguments.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        `(batch, *image_size, channels)`, or the same with channels first; float32.
    """

    def __init__(self, image_size, channels_first, **kwargs):
        super().__init__(autocast=False, dtype="float32", **kwargs)
        self.image_size = image_size
        self.channels_first = channels_first

    def call(self, inputs):
        pixels = ops.cast(inputs, "float32")
        if self.image_size is not None:
            planes = ops.transpose(pixels, (0, 3, 1, 2))
            rows, columns = (
                _resizing_matrix(side, size)
                for side, size in zip(ops.shape(planes)[2:], self.image_size, strict=True)
            )
            planes = ops.matmul(rows, ops.matmul(planes, ops.transpose(columns)))
            # Exporters lose the size, without which they cannot place transposed convolutions.
            planes = ops.reshape(planes, (-1, inputs.shape[3], *self.image_size))
            pixels = ops.clip(ops.transpose(planes, (0, 2, 3, 1)), 0.0, 255.0)
        pixels = pixels / 255.0
        return ops.transpose(pixels, (0, 3, 1, 2)) if self.channels_first else pixels

    def compute_output_shape(self, input_shape):
        batch, *size, channels = input_shape
        size = self.image_size or tuple(size)
        return (batch, channels, *size) if self.channels_first else (batch, *size, channels)


def _resizing_matrix(side, size):
    """Matrix `(size, side)` of triangular weights, which sum to 1 along each row."""
    # Twice the distances in source pixels, times `size`: whole numbers, which lose no digit.
    centres = (2 * ops.arange(size, dtype="int32") + 1) * side
    distances = ops.abs(centres[:, None] - size * (2 * ops.arange(side, dtype="int32") + 1))
    reach = 2 * ops.maximum(ops.cast(side, "int32"), size)
    weights = ops.cast(ops.maximum(reach - distances, 0), "float32")
    return weights / ops.sum(weights, axis=1, keepdims=True)


@contextlib.contextmanager
def plain_operators(model):
    """Within it every layer of a model does without what only a SavedModel has."""
    layers = [layer for layer in model._flatten_layers() if hasattr(layer, "plain_operators")]
    try:
        for layer in layers:
            layer.plain_operators = True
        yield
    finally:
        for layer in layers:
            layer.plain_operators = False
