"""Convolution that learns prediction errors of a pixel."""

import keras
import numpy as np
from keras import ops

from keras_deepfake._arguments import (
    MOST_PLACES,
    check_choice,
    check_data_format,
    check_flag,
    check_integer,
    check_keras,
    check_one_or_pair,
)
from keras_deepfake.layers._image_arguments import check_side


@keras.saving.register_keras_serializable(package="keras_deepfake")
class ConstrainedConv2D(keras.layers.Conv2D):
    """Convolution whose kernels learn to predict a pixel from its neighbours.

    Every slice of the kernel, one for each pair of input and output channel, is kept a
    prediction-error filter: its centre is -1 and its other weights sum to 1, so that it
    answers zero on flat regions. What an image shows is suppressed and the traces of how it
    was made remain. The constraint is part of the computation, not a correction after each
    step: `kernel` holds the free weights, and `constrained_kernel()` the filters in use. A sum
    of weights nearer to 0 than 1e-4 is taken as 1e-4 with its sign, which keeps the filters
    finite.

    Use it as first layer, on images of one quality and without activation.

    Args:
        filters: Number of output channels.
        kernel_size: Odd side of the kernel, or two odd sides.
        strides: Step of the convolution, one integer or two.
        padding: `"valid"` or `"same"`. `"same"` sees an edge at the border of the image.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for the Keras default.
        use_bias: Whether to add a bias.
        kernel_initializer: Of the free weights. `None` draws them uniformly from 0 to 1, so
            that no sum is small; usual initializers, centred on 0, start with very large
            filters now and then.
        **kwargs: Other arguments of `keras.layers.Conv2D`: `kernel_regularizer` acts on the
            free weights. The convolution is computed in the policy's variable dtype (float32
            under mixed precision), and its output is cast to the compute dtype.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` under
        `"channels_first"`. Sides may be unknown.

    Output shape:
        That of `keras.layers.Conv2D`.

    Raises:
        ValueError: If a side of the kernel is even, or both are 1.

    Example:
        ```python
        model = keras.Sequential([
            keras.Input((32, 32, 3)),
            kd.layers.ConstrainedConv2D(3),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ])
        ```

    Reference:
        Bayar and Stamm, "Constrained convolutional neural networks: a new approach towards
        general purpose image manipulation detection", 2018, section III.
    """

    def __init__(
        self,
        filters,
        kernel_size=5,
        strides=1,
        padding="valid",
        data_format=None,
        use_bias=False,
        kernel_initializer=None,
        **kwargs,
    ):
        if kernel_initializer is None:
            kernel_initializer = keras.initializers.RandomUniform(0.0, 1.0)
        super().__init__(
            check_integer("filters", filters, 1, MOST_PLACES),
            check_one_or_pair("kernel_size", kernel_size, check_side),
            strides=check_one_or_pair("strides", strides, check_side),
            padding=check_choice("padding", padding, ("valid", "same")),
            data_format=check_data_format(data_format),
            use_bias=check_flag("use_bias", use_bias),
            kernel_initializer=check_keras(
                "kernel_initializer",
                kernel_initializer,
                keras.initializers.get,
                "the name of a Keras initializer, one itself, or None",
            ),
            autocast=False,
            **kwargs,
        )
        if any(side % 2 == 0 for side in self.kernel_size) or self.kernel_size == (1, 1):
            raise ValueError(
                "`kernel_size` must have odd sides, for a kernel needs a centre, and more than "
                f"one weight; got {kernel_size!r}. Use 3 or 5."
            )

    def add_weight(self, *args, **kwargs):
        # Half precision would spoil the sums.
        return super().add_weight(*args, autocast=False, **kwargs)

    def constrained_kernel(self):
        """Return the filters in use, of the shape of `kernel`."""
        return self._constrain(ops.convert_to_tensor(self.kernel))

    def _constrain(self, kernel):
        height, width = self.kernel_size
        centre = np.zeros((height, width, 1, 1), "float32")
        centre[height // 2, width // 2] = 1.0
        centre = ops.cast(centre, kernel.dtype)
        neighbours = kernel * (1 - centre)
        total = ops.sum(neighbours, axis=(0, 1), keepdims=True)
        guard = ops.where(total < 0, -1e-4, 1e-4)
        total = ops.where(ops.abs(total) < 1e-4, ops.cast(guard, kernel.dtype), total)
        return neighbours / total - centre

    def convolution_op(self, inputs, kernel):
        inputs = ops.cast(inputs, self.variable_dtype)
        kernel = ops.cast(kernel, self.variable_dtype)
        return super().convolution_op(inputs, self._constrain(kernel))

    def call(self, inputs):
        return ops.cast(super().call(inputs), self.compute_dtype)
