"""Log magnitudes of the discrete cosine transform of each block of an image."""

import keras
import numpy as np
from keras import ops

from keras_deepfake._arguments import check_data_format, check_integer, check_number
from keras_deepfake._pixels import TOLERANCE, to_numpy
from keras_deepfake.layers._image_arguments import check_value_range, known_channels


@keras.saving.register_keras_serializable(package="keras_deepfake")
class BlockDCT(keras.layers.Layer):
    """Log magnitudes of the cosine transform of each block, one channel a coefficient.

    Blocks of 8x8 aligned with those of JPEG show which frequencies an image has and which a
    compression removed. The layer gives `log(|y| + epsilon)` for every coefficient y of the
    orthonormal transform of pixels on the scale of 0-255. `adapt` measures mean and variance
    of each coefficient on a set of images, and outputs are then standardised by them. Before
    `adapt` the logarithms are given as they are.

    The map feeds an encoder; `MomentPooling` makes a vector of it. `RGBToYCbCr` before it, and
    a second layer on the image without its first 4 rows and columns
    (`keras.layers.Cropping2D(((4, 0), (4, 0)))`), which shifts the grid, both help.

    Args:
        block_size: Side of a block.
        epsilon: Added to magnitudes before the logarithm, on the scale of 0-255.
        value_range: The lowest and highest value of a pixel, `(0, 1)` or `(0, 255)`. Of chroma
            from `RGBToYCbCr` the range means the same.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for the Keras default.
        **kwargs: Base layer arguments such as `name`, `dtype` and `trainable`. Coefficients
            are computed in float32 under every dtype policy and then cast to its compute dtype.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` under
        `"channels_first"`. Sides may be unknown; rows and columns that do not fill a block are
        dropped.

    Output shape:
        `(batch, height // block_size, width // block_size, block_size**2 * channels)`, or the
        same with channels first: the coefficients of the first channel, row by row with the
        constant one first, then those of the second, and so on.

    Raises:
        ValueError: If `block_size` is less than 2, `epsilon` is not positive, or `value_range`
            is not two increasing numbers.

    Example:
        ```python
        images = np.random.default_rng(0).random((4, 32, 32, 3), "float32")
        dct = kd.layers.BlockDCT()
        dct.adapt(images)
        classifier = keras.Sequential([
            keras.Input((None, None, 3)),
            dct,
            kd.layers.MomentPooling(2),
            keras.layers.Dense(
                2, activation="softmax", kernel_regularizer=keras.regularizers.L1L2(1e-4, 1e-3)
            ),
        ])
        ```

    Reference:
        Frank et al., "Leveraging frequency analysis for deep fake image recognition", 2020,
        section 3.
    """

    def __init__(self, block_size=8, epsilon=1.0, value_range=(0, 1), data_format=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        # The kernel grows with the fourth power of the side.
        self.block_size = check_integer("block_size", block_size, 2, 64)
        self.epsilon = check_number("epsilon", epsilon, above=0)
        self.value_range = check_value_range(value_range)
        self.data_format = check_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        channels = known_channels(self, input_shape, self._channel_axis)
        size = self.block_size
        sides = input_shape[2:] if self._channel_axis == 1 else input_shape[1:3]
        if any(side is not None and side < size for side in sides):
            raise ValueError(
                f"`BlockDCT` needs images of at least one block of {size} x {size} pixels; got "
                f"input shape {tuple(input_shape)}."
            )
        frequency, position = np.arange(size)[:, None], np.arange(size)
        cosines = np.cos(np.pi * (2 * position + 1) * frequency / (2 * size))
        cosines *= np.where(frequency == 0, 1, np.sqrt(2)) / np.sqrt(size)
        kernel = np.zeros((size, size, channels, channels, size**2), "float32")
        for channel in range(channels):
            kernel[:, :, channel, channel] = np.einsum("uh,vw->hwuv", cosines, cosines).reshape(
                size, size, size**2
            )
        self._kernel = kernel.reshape(size, size, channels, channels * size**2)
        statistics = {"shape": (channels * size**2,), "dtype": "float32", "trainable": False}
        self.mean = self.add_weight(name="mean", initializer="zeros", autocast=False, **statistics)
        self.variance = self.add_weight(
            name="variance", initializer="ones", autocast=False, **statistics
        )

    def adapt(self, data):
        """Measure mean and variance of every coefficient.

        Args:
            data: Images as one array, or an iterable of batches such as a `tf.data.Dataset`,
                `(images, labels)` pairs included, whose labels are not used.

        Raises:
            ValueError: If a pixel is not finite or outside of `value_range` (chroma lies around
                0), the images have other axes or channels, or there are none. Mean and variance
                are then what they were.
        """
        batches = data
        if len(getattr(data, "shape", ())) > 0:
            batches = (data[start : start + 64] for start in range(0, len(data), 64))
        elif not hasattr(data, "__iter__"):
            raise ValueError(
                "`data` must be an array of images, or an iterable of batches; got "
                f"{type(data).__name__}."
            )
        count, total, squares = 0, 0.0, 0.0
        for batch in batches:
            images = self._check_pixels(batch[0] if isinstance(batch, tuple | list) else batch)
            if not self.built:
                self.build(images.shape)
            logs = ops.convert_to_numpy(self._log_magnitudes(images)).astype("float64")
            logs = np.moveaxis(logs, self._channel_axis, -1).reshape(-1, self._kernel.shape[-1])
            count += len(logs)
            total += logs.sum(axis=0)
            squares += (logs**2).sum(axis=0)
        if not count:
            raise ValueError("`data` must hold at least one image; got none.")
        mean = total / count
        self.mean.assign(mean)
        self.variance.assign(np.maximum(squares / count - mean**2, 0))

    def _check_pixels(self, images):
        images = to_numpy(images, "data")
        if images.ndim != 4:
            raise ValueError(f"`data` must hold batches of images, 4-D; got shape {images.shape}.")
        if self.built and images.shape[self._channel_axis] != self._kernel.shape[2]:
            raise ValueError(
                f"`data` must hold images of {self._kernel.shape[2]} channels, as the layer was "
                f"built for; got shape {images.shape}."
            )
        low, high = self.value_range
        # Chroma has the same range around 0.
        half = (high - low) / 2
        slack = TOLERANCE * (high - low)
        darkest, brightest = images.min(initial=low), images.max(initial=high)
        if not (darkest >= min(low, -half) - slack and brightest <= max(high, half) + slack):
            raise ValueError(
                f"`data` must hold finite pixels in `value_range`, {self.value_range}; got values "
                f"from {darkest:g} to {brightest:g}. Scale them, or set `value_range`."
            )
        return images

    @property
    def _channel_axis(self):
        return -1 if self.data_format == "channels_last" else 1

    def _log_magnitudes(self, images):
        low, high = self.value_range
        pixels = (ops.cast(images, "float32") - low) * (255 / (high - low))
        coefficients = ops.conv(
            pixels, self._kernel, strides=self.block_size, data_format=self.data_format
        )
        return ops.log(ops.abs(coefficients) + self.epsilon)

    def call(self, inputs):
        mean, variance = ops.convert_to_tensor(self.mean), ops.convert_to_tensor(self.variance)
        if self.data_format == "channels_first":
            mean, variance = mean[:, None, None], variance[:, None, None]
        # A coefficient that never varied, such as one that JPEG always removes, stays near 0.
        deviation = ops.maximum(ops.sqrt(variance), 1e-3)
        outputs = (self._log_magnitudes(inputs) - mean) / deviation
        return ops.cast(outputs, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        if self.data_format == "channels_last":
            batch, height, width, channels = input_shape
        else:
            batch, channels, height, width = input_shape
        height, width = (
            None if side is None else side // self.block_size for side in (height, width)
        )
        channels *= self.block_size**2
        if self.data_format == "channels_last":
            return (batch, height, width, channels)
        return (batch, channels, height, width)

    def get_config(self):
        config = super().get_config()
        config.update(
            block_size=self.block_size,
            epsilon=self.epsilon,
            value_range=self.value_range,
            data_format=self.data_format,
        )
        return config
