"""Statistics of each channel over the whole image."""

import keras
from keras import ops

from keras_deepfake.layers._image_arguments import check_data_format


@keras.saving.register_keras_serializable(package="keras_deepfake")
class MomentPooling(keras.layers.Layer):
    """Mean, standard deviation, skewness and kurtosis of each channel over the image.

    Turns a map of residuals or coefficients into a vector that says how they are spread,
    whatever the size of the image. Forensic traces change the spread of a residual, not its
    mean, which global average pooling would keep alone.

    Args:
        num_moments: How many of mean, standard deviation, skewness and kurtosis to give, from
            1 to 4. Skewness and kurtosis are those of the standardised values (a normal
            distribution has 0 and 3); both are 0 where a channel is constant.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for the Keras default.
        **kwargs: Base layer arguments such as `name`, `dtype` and `trainable`. Moments are
            computed in float32 under every dtype policy and then cast to its compute dtype.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` under
        `"channels_first"`. Sides may be unknown.

    Output shape:
        `(batch, num_moments * channels)`: the means of all channels, then their standard
        deviations, and so on.

    Raises:
        ValueError: If `num_moments` is not 1, 2, 3 or 4.

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
    """

    def __init__(self, num_moments=4, data_format=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        if num_moments not in (1, 2, 3, 4):
            raise ValueError(f"`num_moments` must be 1, 2, 3 or 4; got {num_moments!r}.")
        self.num_moments = num_moments
        self.data_format = check_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs):
        axes = (1, 2) if self.data_format == "channels_last" else (2, 3)
        values = ops.cast(inputs, "float32")
        mean = ops.mean(values, axis=axes, keepdims=True)
        centred = values - mean
        variance = ops.mean(ops.square(centred), axis=axes, keepdims=True)
        # A root has no gradient at 0, where a channel is constant.
        deviation = ops.sqrt(ops.maximum(variance, 1e-12))
        standard = centred / deviation
        moments = [mean, deviation]
        moments += [ops.mean(standard**power, axis=axes, keepdims=True) for power in (3, 4)]
        moments = [ops.squeeze(moment, axis=axes) for moment in moments[: self.num_moments]]
        return ops.cast(ops.concatenate(moments, axis=-1), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        return (input_shape[0], self.num_moments * channels)

    def get_config(self):
        config = super().get_config()
        config.update(
            num_moments=self.num_moments,
            data_format=self.data_format,
        )
        return config
