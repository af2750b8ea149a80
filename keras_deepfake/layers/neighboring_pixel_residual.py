"""Difference of each pixel to the first one of its 2x2 cell."""

import keras
from keras import ops

from keras_deepfake._arguments import check_data_format


@keras.saving.register_keras_serializable(package="keras_deepfake")
class NeighboringPixelResidual(keras.layers.Layer):
    """Difference between each pixel and the top-left pixel of its 2x2 cell.

    The image minus itself after halving and doubling it with nearest neighbours. Generators
    end in upsampling by two, which ties the pixels of a cell to each other in a way that a
    camera does not. Images must be at the size they were made at: resizing removes the trace.
    The layer has no weights and is linear: values keep the unit of the image.

    Args:
        data_format: `"channels_last"`, `"channels_first"`, or `None` for the Keras default.
        **kwargs: Base layer arguments such as `name`, `dtype` and `trainable`. Differences are
            taken in float32 under every dtype policy and then cast to its compute dtype.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` under
        `"channels_first"`. Sides may be unknown; of an odd side the last row or column is
        dropped.

    Output shape:
        That of the input, odd sides one smaller.

    Example:
        ```python
        images = np.random.default_rng(0).random((2, 32, 32, 3), "float32")
        residuals = kd.layers.NeighboringPixelResidual()(images)  # (2, 32, 32, 3)
        ```

    Reference:
        Tan et al., "Rethinking the up-sampling operations in CNN-based generative network for
        generalizable deepfake detection", 2024.
    """

    def __init__(self, data_format=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.data_format = check_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs):
        images = ops.cast(inputs, "float32")
        for axis in (1, 2) if self.data_format == "channels_last" else (2, 3):
            images = images[*[slice(None)] * axis, : ops.shape(images)[axis] // 2 * 2]
        if self.data_format == "channels_last":
            nearest = images[:, ::2, ::2]
            rows, columns = 1, 2
        else:
            nearest = images[:, :, ::2, ::2]
            rows, columns = 2, 3
        nearest = ops.repeat(ops.repeat(nearest, 2, axis=rows), 2, axis=columns)
        return ops.cast(images - nearest, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        first = 1 if self.data_format == "channels_last" else 2
        return tuple(
            side // 2 * 2 if axis in (first, first + 1) and side is not None else side
            for axis, side in enumerate(input_shape)
        )

    def get_config(self):
        config = super().get_config()
        config.update(data_format=self.data_format)
        return config
