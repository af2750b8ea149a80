"""Statistics of each channel over the whole image or all of its tokens."""

import keras
from keras import ops

from keras_deepfake._arguments import check_data_format, check_flag, check_integer
from keras_deepfake.layers._global_means import global_mean
from keras_deepfake.layers._image_arguments import known_channels

# Of a mean of equal float32 values, relative to them.
_ROUNDING = 3e-6


@keras.saving.register_keras_serializable(package="keras_deepfake")
class MomentPooling(keras.layers.Layer):
    """Mean, standard deviation, skewness and kurtosis of each channel over an image.

    Turns a map of residuals or coefficients, or the tokens of a transformer, into a vector that
    says how they are spread, whatever the size of the image. Forensic traces change the spread
    of a residual, not its mean, which global average pooling would keep alone.

    Args:
        num_moments: How many of mean, standard deviation, skewness and kurtosis to give, from
            1 to 4. Skewness and kurtosis are those of the standardised values (a normal
            distribution has 0 and 3); both are 0 where a channel is constant.
        class_token: Boolean, for tokens of which the first is a class token: it is given as it
            is, and the moments are those of the others.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for the Keras default.
        num_register_tokens: Integer, how many tokens right behind the class token stand for no
            place in the image, and are left out: the registers of DINOv3.
        **kwargs: Base layer arguments such as `name`, `dtype` and `trainable`. Moments are
            computed in float32 under every dtype policy and then cast to its compute dtype.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` under
        `"channels_first"`, or tokens `(batch, tokens, channels)` under both. Sides and the
        number of tokens may be unknown.

    Output shape:
        `(batch, num_moments * channels)`: the means of all channels, then their standard
        deviations, and so on. A class token goes before them, `channels` numbers more.

    Raises:
        ValueError: If `num_moments` is not 1, 2, 3 or 4, there are registers without a class
            token, the input has other axes, or `class_token` is set and it is a map.

    Example:
        ```python
        classifier = keras.Sequential([
            keras.Input((None, None, 3)),
            kd.layers.SRMResidual(),
            kd.layers.MomentPooling(),
            keras.layers.Dense(
                2, activation="softmax", kernel_regularizer=keras.regularizers.L1L2(1e-4, 1e-3)
            ),
        ])
        ```

    Reference:
        Darcet et al., "Vision Transformers Need Registers", ICLR 2024 (`num_register_tokens`).
    """

    def __init__(
        self, num_moments=4, class_token=False, data_format=None, num_register_tokens=0, **kwargs
    ):
        super().__init__(autocast=False, **kwargs)
        self.num_moments = check_integer("num_moments", num_moments, 1, 4)
        self.class_token = check_flag("class_token", class_token)
        self.num_register_tokens = check_integer("num_register_tokens", num_register_tokens, 0)
        if self.num_register_tokens and not class_token:
            raise ValueError(
                f"`num_register_tokens` must be 0 without `class_token`, behind which they stand; "
                f"got {num_register_tokens}."
            )
        self.data_format = check_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(min_ndim=3, max_ndim=3 if class_token else 4)

    def build(self, input_shape):
        known_channels(self, input_shape, self._channel_axis(len(input_shape)))
        beside_patches = self.class_token + self.num_register_tokens
        if self.class_token and input_shape[1] is not None and input_shape[1] <= beside_patches:
            raise ValueError(
                f"`MomentPooling` needs tokens beside the {beside_patches} that are no patches; "
                f"got input shape {tuple(input_shape)}."
            )

    def call(self, inputs):
        channel_axis = self._channel_axis(len(inputs.shape))
        axes = tuple(axis for axis in range(1, len(inputs.shape)) if axis != channel_axis)
        values = ops.cast(inputs, "float32")
        if self.class_token:
            class_token, values = values[:, 0], values[:, 1 + self.num_register_tokens :]
        mean = global_mean(values, axes)
        moments = [mean]
        if self.num_moments > 1:
            centred = values - mean
            variance = global_mean(ops.square(centred), axes)
            # A constant channel leaves what its mean was rounded by. A root has no gradient at 0.
            rounding = ops.square(_ROUNDING * mean) + 1e-12
            is_constant = variance <= rounding
            deviation = ops.sqrt(ops.where(is_constant, 1e-12, variance))
            centred = ops.where(is_constant, 0.0, centred)
            powers = range(3, self.num_moments + 1)
            standard = centred / deviation
            moments += [deviation, *(global_mean(standard**power, axes) for power in powers)]
        moments = ops.concatenate(moments, axis=channel_axis)
        # Not a squeeze of several axes, which ONNX has no operator for from PyTorch.
        moments = ops.reshape(moments, (-1, moments.shape[channel_axis]))
        if self.class_token:
            moments = ops.concatenate([class_token, moments], axis=1)
        return ops.cast(moments, self.compute_dtype)

    def _channel_axis(self, num_axes):
        return 1 if num_axes == 4 and self.data_format == "channels_first" else num_axes - 1

    def compute_output_shape(self, input_shape):
        channels = input_shape[self._channel_axis(len(input_shape))]
        return (input_shape[0], (self.num_moments + self.class_token) * channels)

    def get_config(self):
        config = super().get_config()
        config.update(
            num_moments=self.num_moments,
            class_token=self.class_token,
            num_register_tokens=self.num_register_tokens,
            data_format=self.data_format,
        )
        return config
