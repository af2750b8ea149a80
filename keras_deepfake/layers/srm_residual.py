"""High-pass residuals of the spatial rich model."""

import keras
import numpy as np
from keras import ops

from keras_deepfake._arguments import check_data_format, check_number
from keras_deepfake.layers._image_arguments import check_value_range, known_channels

# Whole numbers, divided after the convolution: residuals of 8-bit images are then exact.
_KERNELS = np.array(
    [
        [[0, 0, 0, 0, 0], [0, -1, 2, -1, 0], [0, 2, -4, 2, 0], [0, -1, 2, -1, 0], [0, 0, 0, 0, 0]],
        [
            [-1, 2, -2, 2, -1],
            [2, -6, 8, -6, 2],
            [-2, 8, -12, 8, -2],
            [2, -6, 8, -6, 2],
            [-1, 2, -2, 2, -1],
        ],
        [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 1, -2, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]],
    ],
    "float32",
)
_DIVISORS = np.array([4, 12, 2], "float32")


@keras.saving.register_keras_serializable(package="keras_deepfake")
class SRMResidual(keras.layers.Layer):
    """High-pass residuals of each channel with three fixed kernels of steganalysis.

    The kernels predict a pixel from its neighbours and keep the error of the prediction: the
    3x3 "KB" kernel divided by 4, the 5x5 "KV" kernel divided by 12, and the horizontal second
    difference divided by 2. What an image shows is suppressed; noise, resampling and blending
    edges remain. The residuals are on the scale of 0-255 whatever the `value_range`, and are
    clipped, so that edges do not drown the noise. The layer has no weights; gradients reach
    its inputs where the residual is not clipped.

    As first layer of an encoder it triples the number of channels; with `MomentPooling` after
    it, it gives a vector for a softmax head.

    Args:
        value_range: The lowest and highest value of a pixel, `(0, 1)` or `(0, 255)`.
        clip: Largest magnitude of a residual, on the scale of 0-255. `None` does not clip.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for the Keras default.
        **kwargs: Base layer arguments such as `name`, `dtype` and `trainable`. Residuals are
            computed in float32 under every dtype policy and then cast to its compute dtype.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` under
        `"channels_first"`. Sides may be unknown.

    Output shape:
        The same with `3 * channels` channels: KB, KV and horizontal of the first channel, then
        of the second, and so on. The border is padded with the lowest value.

    Raises:
        ValueError: If `value_range` is not two increasing numbers, or `clip` is not positive.

    Example:
        ```python
        images = np.random.default_rng(0).random((2, 32, 32, 3), "float32")
        residuals = kd.layers.SRMResidual()(images)  # (2, 32, 32, 9), within -3 and 3
        ```

    Reference:
        Fridrich and Kodovsky, "Rich models for steganalysis of digital images", 2012; the
        choice of the three kernels is that of Zhou et al., "Learning rich features for image
        manipulation detection", 2018.
    """

    def __init__(self, value_range=(0, 1), clip=3.0, data_format=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.value_range = check_value_range(value_range)
        self.clip = None if clip is None else check_number("clip", clip, above=0)
        self.data_format = check_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        self._channel_axis = -1 if self.data_format == "channels_last" else 1
        channels = known_channels(self, input_shape, self._channel_axis)
        # A full convolution with zeros between the channels: grouped ones are slower, or need
        # a compiler, on some backends.
        kernel = np.zeros((5, 5, channels, channels, 3), "float32")
        for channel in range(channels):
            kernel[:, :, channel, channel] = _KERNELS.transpose(1, 2, 0)
        self._kernel = kernel.reshape(5, 5, channels, 3 * channels)
        divisors = np.tile(_DIVISORS, channels)
        self._divisors = divisors if self._channel_axis == -1 else divisors[:, None, None]

    def call(self, inputs):
        low, high = self.value_range
        pixels = (ops.cast(inputs, "float32") - low) * (255 / (high - low))
        residuals = ops.conv(pixels, self._kernel, padding="same", data_format=self.data_format)
        residuals = ops.divide(residuals, self._divisors)
        if self.clip is not None:
            residuals = ops.clip(residuals, -self.clip, self.clip)
        return ops.cast(residuals, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        axis = -1 if self.data_format == "channels_last" else 1
        output_shape = list(input_shape)
        output_shape[axis] *= 3
        return tuple(output_shape)

    def get_config(self):
        config = super().get_config()
        config.update(
            value_range=self.value_range,
            clip=self.clip,
            data_format=self.data_format,
        )
        return config
