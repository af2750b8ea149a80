"""A window of an image at the size that its pixels were made at."""

import math

import keras
from keras import ops

from keras_deepfake._arguments import (
    check_data_format,
    check_image_size,
    check_number,
    check_pair,
)


@keras.saving.register_keras_serializable(package="keras_deepfake")
class NativeCrop(keras.layers.Layer):
    """Cuts a window of fixed size out of images of any size, without resampling them.

    Resizing wipes out the traces of a generator, which are in the relation of neighbouring
    pixels. An encoder that needs a fixed size should see a window of a large image instead. Only
    where a side is smaller than the window, the largest part of the image with the window's
    proportions is enlarged to it, bilinearly.

    Unlike `keras.layers.CenterCrop` it can be placed, and takes images whose sides are unknown
    when a model is built.

    Args:
        crop_size: `(height, width)` of the window in pixels.
        place: `(y, x)` in [0, 1], where the window lies: 0 at the top or left border, 1 at the
            bottom or right one.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for the Keras default.
        **kwargs: Base layer arguments such as `name` and `dtype`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` under
        `"channels_first"`. Sides may be unknown.

    Output shape:
        The same with `crop_size` as sides.

    Raises:
        ValueError: If an argument does not fit the description, or the input has other axes.

    Example:
        ```python
        encoder = kd.models.pretrained_encoder("MobileNetV2", (64, 64, 3), weights=None)
        images = keras.Input((None, None, 3))
        features = encoder(kd.layers.NativeCrop((64, 64))(images))
        classifier = kd.models.EncoderClassifier(keras.Model(images, features), pooling="avg")
        classifier.predict(np.zeros((1, 90, 75, 3), "float32"), verbose=0).shape  # (1, 2)
        ```
    """

    def __init__(self, crop_size, place=(0.5, 0.5), data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.crop_size = check_image_size(crop_size, "crop_size")
        self.place = check_pair("place", place, lambda name, part: check_number(name, part, 0, 1))
        self.data_format = check_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs):
        is_last = self.data_format == "channels_last"
        planes = ops.transpose(inputs, (0, 3, 1, 2)) if is_last else inputs
        sides = ops.shape(planes)[2:]
        steps = [
            ops.cast(side, "float32") / size
            for side, size in zip(sides, self.crop_size, strict=True)
        ]
        step = ops.minimum(1.0, ops.minimum(*steps))
        rows, columns = (
            _sampling_matrix(*arguments, step)
            for arguments in zip(sides, self.crop_size, self.place, strict=True)
        )
        crops = ops.matmul(ops.matmul(rows, ops.cast(planes, "float32")), ops.transpose(columns))
        crops = ops.cast(crops, self.compute_dtype)
        return ops.transpose(crops, (0, 2, 3, 1)) if is_last else crops

    def window(self, height, width):
        """Says what the crop shows of an image.

        Args:
            height: Integer, of the image.
            width: Integer, of the image.

        Returns:
            Two slices, of rows and of columns.
        """
        sides = list(zip((height, width), self.crop_size, self.place, strict=True))
        step = min(1.0, *(side / size for side, size, _ in sides))
        starts = [math.floor((side - size * step) * place + 1e-3) for side, size, place in sides]
        return tuple(
            slice(start, round(start + size * step))
            for start, size in zip(starts, self.crop_size, strict=True)
        )

    def compute_output_shape(self, input_shape):
        if self.data_format == "channels_last":
            return (input_shape[0], *self.crop_size, input_shape[3])
        return (*input_shape[:2], *self.crop_size)

    def get_config(self):
        config = super().get_config()
        config.update(crop_size=self.crop_size, place=self.place, data_format=self.data_format)
        return config


def _sampling_matrix(side, size, place, step):
    """Matrix `(size, side)` that takes pixels `step` apart; of one pixel each where it is 1."""
    side_float = ops.cast(side, "float32")
    # Rounding must not move a window that lies on a whole pixel.
    start = ops.floor((side_float - size * step) * place + 1e-3)
    positions = start + (ops.arange(size, dtype="float32") + 0.5) * step - 0.5
    positions = ops.clip(positions, 0.0, side_float - 1.0)
    weights = 1.0 - ops.abs(positions[:, None] - ops.arange(side, dtype="float32"))
    return ops.maximum(weights, 0.0)
