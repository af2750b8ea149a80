"""Generalized mean pooling."""

import keras
from keras import ops

from keras_deepfake._arguments import check_data_format, check_number
from keras_deepfake.layers._global_means import global_mean


@keras.saving.register_keras_serializable(package="keras_deepfake")
class GeMPooling(keras.layers.Layer):
    """Generalized mean over the two spatial axes, with a learnable exponent.

    `y = mean(max(x, epsilon) ** p) ** (1 / p)`: the average for `p = 1`, and closer to the
    maximum the larger `p` grows. One `p` serves all channels and is trained with the rest.
    Computed in float32 whatever the dtype policy, since powers overflow half precision.

    Args:
        p: Float above 0, the exponent that training starts from.
        epsilon: Float in (0, 1], the floor of the input values, which must not be negative.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for the Keras default.
        **kwargs: Base layer arguments such as `name`, `dtype` and `trainable`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` with
        `data_format="channels_first"`; values of 0 or more, as an encoder with ReLU gives.

    Output shape:
        `(batch, channels)`.

    Raises:
        ValueError: If `p` is not above 0 or `epsilon` outside of (0, 1].

    Example:
        ```python
        pooling = kd.layers.GeMPooling()
        pooling(np.ones((2, 8, 8, 32), "float32")).shape  # (2, 32)
        ```

    Reference:
        Radenović et al., "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI
        2019, equation 3.
    """

    def __init__(self, p=3.0, epsilon=1e-6, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.initial_p = check_number("p", p, above=0)
        self.epsilon = check_number("epsilon", epsilon, above=0, most=1)
        self.data_format = check_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        self.p = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(self.initial_p),
            # The mean is undefined at p = 0 and turns into a minimum below.
            constraint=keras.constraints.NonNeg(),
            dtype="float32",
            autocast=False,
            name="p",
        )

    def call(self, inputs):
        is_first = self.data_format == "channels_first"
        channels = inputs.shape[1 if is_first else 3]
        p = ops.maximum(self.p, self.epsilon)
        values = ops.maximum(ops.cast(inputs, "float32"), self.epsilon)
        axes = (2, 3) if is_first else (1, 2)
        # Powers of the shares of the largest value, as those of the values would overflow.
        largest = ops.stop_gradient(ops.max(values, axis=axes, keepdims=True))
        means = global_mean(ops.power(values / largest, p), axes)
        pooled = ops.reshape(largest * ops.power(means, 1.0 / p), (-1, channels))
        return ops.cast(pooled, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        channel_axis = 1 if self.data_format == "channels_first" else -1
        return (input_shape[0], input_shape[channel_axis])

    def get_config(self):
        config = super().get_config()
        config.update(p=self.initial_p, epsilon=self.epsilon, data_format=self.data_format)
        return config
