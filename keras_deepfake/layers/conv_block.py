"""A convolution with optional normalization and an activation."""

import keras

from keras_deepfake._arguments import (
    MOST_PLACES,
    check_activation,
    check_choice,
    check_data_format,
    check_integer,
    check_one_or_pair,
)
from keras_deepfake.layers._image_arguments import check_side


@keras.saving.register_keras_serializable(package="keras_deepfake")
class ConvBlock(keras.layers.Layer):
    """Strided convolution, optional normalization, activation.

    The unit of the encoder: `Conv2D` with `"same"` padding, then batch or layer
    normalization if asked for (over the channels; the convolution then has no bias of its
    own), then the activation. With the default stride of 2 each block halves the image.

    Args:
        filters: Integer, the number of output channels.
        kernel_size: Integer or pair, the size of the convolution window.
        strides: Integer or pair, the stride of the convolution.
        activation: Activation function, its name, or `None`.
        normalization: `None`, `"batch"` or `"layer"`.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for the Keras default.
        **kwargs: Base layer arguments such as `name`, `dtype` and `trainable`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` with
        `data_format="channels_first"`; floating point.

    Output shape:
        `(batch, ceil(height / strides), ceil(width / strides), filters)`, the axes in the
        order of `data_format`.

    Raises:
        ValueError: If `normalization` is not one of the above.

    Example:
        ```python
        block = kd.layers.ConvBlock(16, normalization="batch")
        block(np.zeros((2, 32, 32, 3), "float32")).shape  # (2, 16, 16, 16)
        ```
    """

    _convolution_class = keras.layers.Conv2D

    def __init__(
        self,
        filters,
        kernel_size=3,
        strides=2,
        activation="relu",
        normalization=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = check_integer("filters", filters, 1, MOST_PLACES)
        self.kernel_size = check_one_or_pair("kernel_size", kernel_size, check_side)
        self.strides = check_one_or_pair("strides", strides, check_side)
        self.activation = check_activation("activation", activation)
        self.normalization = check_choice("normalization", normalization, (None, "batch", "layer"))
        self.data_format = check_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)
        # A block that was saved frozen is rebuilt with everything inside it frozen.
        inherited = {"dtype": self.dtype_policy, "trainable": self.trainable}
        self.convolution = self._convolution_class(
            self.filters,
            self.kernel_size,
            strides=self.strides,
            padding="same",
            data_format=self.data_format,
            use_bias=normalization is None,
            name="convolution",
            **inherited,
        )
        self.normalization_layer = None
        if normalization is not None:
            normalization_class = {
                "batch": keras.layers.BatchNormalization,
                "layer": keras.layers.LayerNormalization,
            }[normalization]
            channel_axis = 1 if self.data_format == "channels_first" else -1
            self.normalization_layer = normalization_class(
                axis=channel_axis, name="normalization", **inherited
            )

    def build(self, input_shape):
        self.convolution.build(input_shape)
        if self.normalization_layer is not None:
            self.normalization_layer.build(self.convolution.compute_output_shape(input_shape))

    def call(self, inputs, training=None):
        outputs = self.convolution(inputs)
        if self.normalization == "batch":
            outputs = self.normalization_layer(outputs, training=training)
        elif self.normalization == "layer":
            outputs = self.normalization_layer(outputs)
        return self.activation(outputs)

    def compute_output_shape(self, input_shape):
        return self.convolution.compute_output_shape(input_shape)

    def get_config(self):
        config = super().get_config()
        config.update(
            filters=self.filters,
            kernel_size=self.kernel_size,
            strides=self.strides,
            activation=keras.activations.serialize(self.activation),
            normalization=self.normalization,
            data_format=self.data_format,
        )
        return config
