"""Conversion of RGB images to luma and chroma."""

import keras
import numpy as np
from keras import ops

from keras_deepfake._arguments import check_data_format

# Rows: Y, Cb, Cr, by the luma weights .299, .587, .114 of Rec. ITU-R BT.601.
YCBCR_FROM_RGB = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.299 / 1.772, -0.587 / 1.772, 0.5],
        [0.5, -0.587 / 1.402, -0.114 / 1.402],
    ]
)


@keras.saving.register_keras_serializable(package="keras_deepfake")
class RGBToYCbCr(keras.layers.Layer):
    """Full-range luma and chroma of RGB images, as JPEG files use them.

    Generators are trained on RGB and cameras record and compress luma and chroma apart, so
    the statistics of the latter give more away. The conversion is linear: luma has the range
    of the input; the chroma of a grey pixel is 0 (JPEG files add the middle of the range).

    Args:
        data_format: `"channels_last"`, `"channels_first"`, or `None` for the Keras default.
        **kwargs: Base layer arguments such as `name`, `dtype` and `trainable`. Colours are
            converted in float32 under every dtype policy and then cast to its compute dtype.

    Input shape:
        `(batch, height, width, 3)`, or `(batch, 3, height, width)` under `"channels_first"`.
        Sides may be unknown.

    Output shape:
        The same; the channels are Y, Cb and Cr.

    Raises:
        ValueError: If the images do not have 3 channels.

    Example:
        ```python
        grey = np.full((1, 2, 2, 3), 0.5, "float32")
        kd.layers.RGBToYCbCr()(grey)  # Y = 0.5, Cb = Cr = 0
        ```

    Reference:
        Recommendation ITU-T T.871 (JFIF), section 7.
    """

    def __init__(self, data_format=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.data_format = check_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        if channels != 3:
            raise ValueError(
                f"`RGBToYCbCr` needs images of 3 channels; got input shape {tuple(input_shape)} "
                f"with data_format={self.data_format!r}."
            )

    def call(self, inputs):
        axis = -1 if self.data_format == "channels_last" else 1
        red, green, blue = ops.split(ops.cast(inputs, "float32"), 3, axis=axis)
        outputs = ops.concatenate(
            [r * red + g * green + b * blue for r, g, b in YCBCR_FROM_RGB.tolist()], axis=axis
        )
        return ops.cast(outputs, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.update(data_format=self.data_format)
        return config
