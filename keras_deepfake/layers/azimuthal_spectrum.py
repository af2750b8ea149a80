"""Spectrum of an image by spatial frequency alone."""

import keras
import numpy as np
from keras import ops

from keras_deepfake._arguments import MOST_PLACES, check_choice, check_data_format, check_integer
from keras_deepfake.layers._image_arguments import check_value_range
from keras_deepfake.layers.rgb_to_ycbcr import YCBCR_FROM_RGB


@keras.saving.register_keras_serializable(package="keras_deepfake")
class AzimuthalSpectrum(keras.layers.Layer):
    """Log-magnitude spectrum of an image, averaged over the directions of each frequency.

    The image is turned grey, scaled to 0-1, multiplied by a window and Fourier transformed;
    `log(|F| + 1e-8)` is averaged over the frequencies of equal whole radius, and all averages
    are divided by that of radius 0, the logarithm of the image's sum. Upsampling in a
    generator bends the high end of this curve. The curve does not change when an image is
    mirrored or turned by quarters (for odd sides); because of the logarithm the division does
    not cancel brightness exactly, so `value_range` matters. JPEG and resizing blur the trace:
    resize spectra (`num_bins`), never images.

    The vector goes straight under a softmax head; standardise it first, for neighbouring bins
    differ little (see the example).

    Args:
        num_bins: Length of the vector. `None` keeps one bin a radius, up to the corner of the
            spectrum; a number resamples the curve linearly, first and last bin kept, so that
            images of different sizes give equal vectors.
        window: `"hann"` damps the edges of the image, which otherwise leak into all
            frequencies; `None` uses the image as it is.
        value_range: The lowest and highest value of a pixel, `(0, 1)` or `(0, 255)`.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for the Keras default.
        **kwargs: Base layer arguments such as `name`, `dtype` and `trainable`. The spectrum is
            computed in float32 under every dtype policy and then cast to its compute dtype.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` under
        `"channels_first"`, with 1 or 3 channels and known sides of at least 2.

    Output shape:
        `(batch, bins)`. Without `num_bins`, `bins` is 1 more than the whole part of the
        largest radius: 182 for 256x256. Where the sides differ, a radius is in cycles per the
        shorter side.

    Raises:
        ValueError: If `num_bins` is less than 2, `window` is unknown, `value_range` is not two
            increasing numbers, or the input has unknown sides or other than 1 or 3 channels.

    Example:
        ```python
        images = np.random.default_rng(0).random((8, 32, 32, 3), "float32")
        spectrum = kd.layers.AzimuthalSpectrum()
        standardize = keras.layers.Normalization()
        standardize.adapt(spectrum(images))
        classifier = keras.Sequential([
            keras.Input((32, 32, 3)),
            spectrum,
            standardize,
            keras.layers.Dense(
                2, activation="softmax", kernel_regularizer=keras.regularizers.L1L2(1e-4, 1e-3)
            ),
        ])
        ```

    Reference:
        Durall et al., "Watch your up-convolution: CNN based generative deep neural networks
        are failing to reproduce spectral distributions", 2020, section 3.
    """

    def __init__(
        self, num_bins=None, window="hann", value_range=(0, 1), data_format=None, **kwargs
    ):
        super().__init__(autocast=False, **kwargs)
        if num_bins is not None:
            num_bins = check_integer("num_bins", num_bins, 2, MOST_PLACES)
        self.num_bins = num_bins
        self.window = check_choice("window", window, ("hann", None))
        self.value_range = check_value_range(value_range)
        self.data_format = check_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)
        # Whether to do without complex numbers, in eight times the time; exporters to formats
        # that have none set it.
        self.plain_operators = False

    def _sides_and_channels(self, input_shape):
        if self.data_format == "channels_last":
            _, height, width, channels = input_shape
        else:
            _, channels, height, width = input_shape
        if None in (height, width) or min(height, width) < 2 or channels not in (1, 3):
            raise ValueError(
                "`AzimuthalSpectrum` needs images of known sides of at least 2 and of 1 or 3 "
                f"channels; got input shape {tuple(input_shape)} with "
                f"data_format={self.data_format!r}."
            )
        return height, width, channels

    def build(self, input_shape):
        height, width, self._channels = self._sides_and_channels(input_shape)
        self._window = np.float32(1.0)
        if self.window == "hann":
            self._window = np.outer(np.hanning(height), np.hanning(width)).astype("float32")
        radius = _radius(height, width).reshape(-1)
        self._radius = radius.astype("int32")
        counts = np.bincount(radius)
        self._counts = counts.astype("float32")
        if self.num_bins is not None:
            positions = np.linspace(0, len(counts) - 1, self.num_bins)
            # Column i of the matrix holds how much bin i takes of each radius.
            self._resample = np.maximum(
                0, 1 - np.abs(np.arange(len(counts))[:, None] - positions)
            ).astype("float32")

    def call(self, inputs):
        low, high = self.value_range
        pixels = (ops.cast(inputs, "float32") - low) / (high - low)
        channels = ops.unstack(
            pixels, self._channels, axis=-1 if self.data_format == "channels_last" else 1
        )
        weights = YCBCR_FROM_RGB[0].tolist() if self._channels == 3 else [1.0]
        grey = sum(weight * channel for weight, channel in zip(weights, channels, strict=True))
        grey = ops.multiply(grey, self._window)
        transform = _fourier_by_matrices if self.plain_operators else _fourier
        real, imaginary = transform(grey)
        # The root has no gradient at 0: the floor is far below the 1e-8 that follows.
        magnitude = ops.sqrt(ops.maximum(real**2 + imaginary**2, 1e-30))
        logs = ops.reshape(ops.log(magnitude + 1e-8), (-1, len(self._radius)))
        sums = ops.segment_sum(ops.transpose(logs), self._radius, num_segments=len(self._counts))
        curve = ops.divide(ops.transpose(sums), self._counts)
        curve = curve / curve[:, :1]
        if self.num_bins is not None:
            curve = ops.matmul(curve, self._resample)
        return ops.cast(curve, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        height, width, _ = self._sides_and_channels(input_shape)
        return (input_shape[0], self.num_bins or int(_radius(height, width).max()) + 1)

    def get_config(self):
        config = super().get_config()
        config.update(
            num_bins=self.num_bins,
            window=self.window,
            value_range=self.value_range,
            data_format=self.data_format,
        )
        return config


def _fourier(images):
    """Real and imaginary part of the two-dimensional discrete Fourier transform."""
    return ops.fft2((images, ops.zeros_like(images)))


def _fourier_by_matrices(images):
    (row_real, row_imaginary), (real, imaginary) = map(_fourier_matrix, images.shape[1:])
    real, imaginary = ops.matmul(images, real), ops.matmul(images, imaginary)
    return (
        ops.matmul(row_real, real) - ops.matmul(row_imaginary, imaginary),
        ops.matmul(row_real, imaginary) + ops.matmul(row_imaginary, real),
    )


def _fourier_matrix(side):
    """Real and imaginary part of the matrix of a transform of so many numbers."""
    positions = np.arange(side)
    # Whole turns are taken off first: cosines of large angles are not exact.
    angles = 2 * np.pi / side * (np.outer(positions, positions) % side)
    return np.cos(angles).astype("float32"), -np.sin(angles).astype("float32")


def _radius(height, width):
    """Whole distance of each frequency from zero, in cycles per the shorter side."""
    rows, columns = np.fft.fftfreq(height), np.fft.fftfreq(width)
    distance = np.hypot(rows[:, None], columns) * min(height, width)
    # Whole distances such as 3-4-5 must not fall below themselves by rounding.
    return np.floor(distance + 1e-6).astype("int64")
