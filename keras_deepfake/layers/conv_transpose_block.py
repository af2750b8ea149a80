"""The upsampling twin of `ConvBlock`."""

import keras

from keras_deepfake.layers.conv_block import ConvBlock


@keras.saving.register_keras_serializable(package="keras_deepfake")
class ConvTransposeBlock(ConvBlock):
    """Strided transposed convolution, optional normalization, activation.

    The unit of the decoder, and `ConvBlock` in every argument: only the convolution is a
    `Conv2DTranspose`, so that the default stride of 2 doubles the image.

    Args:
        filters: Integer, the number of output channels.
        kernel_size: Integer or pair, the size of the convolution window.
        strides: Integer or pair, the factor of upsampling.
        activation: Activation function, its name, or `None`.
        normalization: `None`, `"batch"` or `"layer"`.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for the Keras default.
        **kwargs: Base layer arguments such as `name`, `dtype` and `trainable`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` with
        `data_format="channels_first"`; floating point.

    Output shape:
        `(batch, height * strides, width * strides, filters)`, the axes in the order of
        `data_format`.

    Raises:
        ValueError: If `normalization` is not one of the above.

    Example:
        ```python
        block = kd.layers.ConvTransposeBlock(16)
        block(np.zeros((2, 8, 8, 3), "float32")).shape  # (2, 16, 16, 16)
        ```
    """

    _convolution_class = keras.layers.Conv2DTranspose
