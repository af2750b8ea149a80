"""Joint histograms of neighbouring differences of luma and chroma."""

import keras
import numpy as np
from keras import ops

from keras_deepfake._arguments import check_data_format, check_flag, check_integer, check_sequence
from keras_deepfake.layers._image_arguments import check_value_range

# Y, Cb, Cr of 8-bit RGB in 1/65536: products and sums are exact in float32, in any order, so
# that no backend rounds a half differently.
_YCBCR = ((19595, 38470, 7471), (-11059, -21709, 32768), (32768, -27439, -5329))

# Of a difference, up to which triples are counted.
_MOST_LEVELS = 32


@keras.saving.register_keras_serializable(package="keras_deepfake")
class ResidualCooccurrence(keras.layers.Layer):
    """Square-rooted frequencies of triples of quantised differences of Y, Cb and Cr.

    Pixels are rounded to 8 bits and converted to whole Y, Cb and Cr, as a JPEG decoder has
    them. Differences of neighbours along rows and columns (first differences, second
    differences and so on) are divided by a step, rounded and cut off at `truncation`, which
    leaves `2 * truncation + 1` symbols. Counted are the triples of symbols

    - at three neighbours along the direction of the difference, and at three neighbours
      across it, in each of Y, Cb and Cr;
    - of Y, Cb and Cr at one place (`cross_channel`);
    - all of these again in the image of 2x2 means (`half_scale`).

    Counts of horizontal and vertical differences are added. Each histogram becomes frequencies
    of sum 1, and their square roots are given, which a linear classifier separates better.

    These are statistics of noise, resampling and rounding, and the strongest of the library's
    fixed features for faces that are generated whole. Images must be at the size they were
    made at. The layer has no weights, and no gradient reaches its inputs.

    The vector goes straight under a regularised softmax head. Centre it, but do not divide
    each number by its own deviation: the square root has made the noise of all alike, and
    rare triples would be blown up. The large `epsilon` of the example does so.

    Args:
        orders: Orders of the differences, from 1 to 16.
        steps: Quantisation steps, whole numbers on the scale of 0-255. Memory grows with the
            cube of the largest step times `truncation`, which must be at most 32.
        truncation: Largest magnitude of a symbol.
        symmetric: Add up the triples that mirroring the image or inverting its contrast turns
            into each other: the vector gets about a quarter as long, and its frequencies
            steadier. Triples of one place are only merged with those of opposite signs.
        cross_channel: Count the triples of Y, Cb and Cr at one place.
        half_scale: Count at half scale too.
        value_range: The lowest and highest value of a pixel, `(0, 1)` or `(0, 255)`.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for the Keras default.
        **kwargs: Base layer arguments such as `name`, `dtype` and `trainable`. Counts are
            exact under every dtype policy; frequencies are cast to its compute dtype.

    Input shape:
        `(batch, height, width, 3)`, or `(batch, 3, height, width)` under `"channels_first"`.
        Sides may be unknown; they must be at least the largest order plus 3, and twice that
        with `half_scale`.

    Output shape:
        `(batch, features)`, 6176 features by default; NaN for an image with pixels that are not
        finite. They are ordered by scale and order; then
        along, across, cross; then step; then Y, Cb, Cr; then the triple.

    Raises:
        ValueError: If `orders`, `steps` or `truncation` are not positive integers, the images
            are too small or do not have 3 channels, or `value_range` is not two increasing
            numbers.

    Example:
        ```python
        classifier = keras.Sequential([
            keras.Input((None, None, 3)),
            kd.layers.ResidualCooccurrence(),
            keras.layers.BatchNormalization(center=False, scale=False, epsilon=1e-3),
            keras.layers.Dense(
                2, activation="softmax", kernel_regularizer=keras.regularizers.L1L2(1e-5, 1e-2)
            ),
        ])
        ```

    Reference:
        Fridrich and Kodovsky, "Rich models for steganalysis of digital images", 2012, section
        II (quantised residuals, their co-occurrences and symmetries); Pevny, Bas and Fridrich,
        "Steganalysis by subtractive pixel adjacency matrix", 2010 (triples of differences).
    """

    def __init__(
        self,
        orders=(1, 2),
        steps=(1, 3),
        truncation=3,
        symmetric=True,
        cross_channel=True,
        half_scale=True,
        value_range=(0, 1),
        data_format=None,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        # Differences of 8-bit levels of a higher order are not exact in float32.
        self.orders = check_sequence(
            "orders", orders, lambda name, order: check_integer(name, order, 1, 16)
        )
        self.steps = check_sequence(
            "steps", steps, lambda name, step: check_integer(name, step, 1, _MOST_LEVELS)
        )
        self.truncation = check_integer("truncation", truncation, 1, _MOST_LEVELS)
        self.symmetric = check_flag("symmetric", symmetric)
        self.cross_channel = check_flag("cross_channel", cross_channel)
        self.half_scale = check_flag("half_scale", half_scale)
        self.value_range = check_value_range(value_range)
        self.data_format = check_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)
        # Counted once, at whole levels up to the largest that a symbol tells apart; the triples
        # of every step are sums of these counts.
        self._levels = max(self.steps) * self.truncation
        if self._levels > _MOST_LEVELS:
            raise ValueError(
                f"The largest of `steps` times `truncation` must be at most {_MOST_LEVELS}, as "
                f"memory grows with its cube; got {self.steps} and {self.truncation}."
            )
        self._base = 2 * self._levels + 1
        self._line_bins = [self._bins(step, mirror=True) for step in self.steps]
        self._cross_bins = [self._bins(step, mirror=False) for step in self.steps]
        self._kinds = [self._line_bins, self._line_bins] + [self._cross_bins] * self.cross_channel
        # Whether to do with what every format has, more slowly; exporters set it.
        self.plain_operators = False

    def _bins(self, step, mirror):
        """The bin of each triple of levels, by the triple's own number."""
        levels = np.arange(-self._levels, self._levels + 1)
        symbols = np.clip(np.round(levels / step), -self.truncation, self.truncation)
        triples = np.stack(np.meshgrid(symbols, symbols, symbols, indexing="ij"), axis=-1)
        triples = triples.reshape(-1, 3)
        if self.symmetric:
            twins = [triples, -triples]
            if mirror:
                twins += [triples[:, ::-1], -triples[:, ::-1]]
            order = [np.dot(twin, [10**6, 10**3, 1]) for twin in twins]
            triples = np.min(order, axis=0)
        return np.unique(triples, axis=0, return_inverse=True)[1].astype("int32")

    def build(self, input_shape):
        self._check_shape(input_shape)

    def _check_shape(self, input_shape):
        if self.data_format == "channels_last":
            _, *sides, channels = input_shape
        else:
            _, channels, *sides = input_shape
        least = (max(self.orders) + 3) * (2 if self.half_scale else 1)
        if channels != 3 or any(side is not None and side < least for side in sides):
            raise ValueError(
                "`ResidualCooccurrence` needs images of 3 channels and, with "
                f"orders={self.orders} and half_scale={self.half_scale}, of sides of at least "
                f"{least}; got input shape {tuple(input_shape)} with "
                f"data_format={self.data_format!r}."
            )

    def call(self, inputs):
        low, high = self.value_range
        levels = (ops.cast(inputs, "float32") - low) * (255 / (high - low))
        # Half levels, as resizing makes many, are rounded alike whatever computed them.
        pixels = ops.round(ops.round(levels * 4096) / 4096)
        # As whole numbers NaN and infinity would be counted like any other.
        finite = ops.isfinite(ops.sum(pixels, axis=(1, 2, 3)))
        pixels = ops.where(finite[:, None, None, None], pixels, 0.0)
        red, green, blue = ops.unstack(
            pixels, 3, axis=-1 if self.data_format == "channels_last" else 1
        )
        planes = ops.stack(
            [ops.floor((r * red + g * green + b * blue) / 65536 + 0.5) for r, g, b in _YCBCR],
            axis=1,
        )
        features = []
        for scale in [planes, _halved(planes)] if self.half_scale else [planes]:
            for order in self.orders:
                rows, columns = (self._counts(scale, order, vertical) for vertical in (False, True))
                for count, steps in zip(map(ops.add, rows, columns), self._kinds, strict=True):
                    features += [self._roots(count, bins) for bins in steps]
        outputs = ops.where(finite[:, None], ops.concatenate(features, axis=-1), float("nan"))
        return ops.cast(outputs, self.compute_dtype)

    def _counts(self, planes, order, vertical):
        """How often each triple of levels is: along the differences, across them, at one place.

        Each of shape `(batch, planes, triples)`.
        """
        differences = planes
        for _ in range(order):
            if vertical:
                differences = differences[:, :, 1:] - differences[:, :, :-1]
            else:
                differences = differences[..., 1:] - differences[..., :-1]
        levels = ops.clip(ops.round(differences), -self._levels, self._levels)
        # Fewer bytes to move.
        narrow = self._base**3 <= 2**15 and not self.plain_operators
        third = ops.cast(levels + self._levels, "int16" if narrow else "int32")
        second = third * self._base
        first = second * self._base
        numbers = [
            first[..., :-2] + second[..., 1:-1] + third[..., 2:],
            first[:, :, :-2] + second[:, :, 1:-1] + third[:, :, 2:],
        ]
        if vertical:
            numbers.reverse()
        if self.cross_channel:
            numbers.append(first[:, :1] + second[:, 1:2] + third[:, 2:])
        return [self._count(triples) for triples in numbers]

    def _count(self, numbers):
        """How often each number is, of shape `(batch, planes, triples)`."""
        planes, length = numbers.shape[1], self._base**3
        # Every plane has a range of numbers of its own.
        size = ops.shape(numbers)[0] * planes * length
        ranges = ops.reshape(ops.arange(0, size, length, dtype="int32"), (-1, planes, 1, 1))
        numbers = ops.reshape(ops.cast(numbers, "int32") + ranges, (-1,))
        backend = keras.backend.backend()
        # A segment sum takes 5 times as long on TensorFlow and 20 times on torch.
        if backend == "tensorflow" and not self.plain_operators:
            import tensorflow as tf

            none = tf.zeros((0,), "float32")
            counts = tf.raw_ops.DenseBincount(
                input=numbers, size=size, weights=none, binary_output=False
            )
        elif backend == "torch":
            counts = ops.cast(ops.bincount(numbers, minlength=size), "float32")
        else:
            # Whole numbers: float32 cannot count beyond 2**24.
            counts = ops.segment_sum(ops.ones_like(numbers), numbers, num_segments=size)
        return ops.reshape(ops.cast(counts, "float32"), (-1, planes, length))

    def _roots(self, counts, bins):
        """Square roots of the frequencies of the triples that a step leaves."""
        planes = counts.shape[1]
        counts = ops.transpose(ops.reshape(counts, (-1, self._base**3)))
        histogram = ops.transpose(ops.segment_sum(counts, bins, num_segments=int(bins.max()) + 1))
        roots = ops.sqrt(histogram / ops.sum(histogram, axis=-1, keepdims=True))
        return ops.reshape(roots, (-1, planes * roots.shape[1]))

    def compute_output_shape(self, input_shape):
        self._check_shape(input_shape)
        line = 2 * 3 * (self._line_bins[0].max() + 1)
        cross = (self._cross_bins[0].max() + 1) * self.cross_channel
        groups = len(self.orders) * len(self.steps) * (2 if self.half_scale else 1)
        return (input_shape[0], int(groups * (line + cross)))

    def get_config(self):
        config = super().get_config()
        config.update(
            orders=self.orders,
            steps=self.steps,
            truncation=self.truncation,
            symmetric=self.symmetric,
            cross_channel=self.cross_channel,
            half_scale=self.half_scale,
            value_range=self.value_range,
            data_format=self.data_format,
        )
        return config


def _halved(planes):
    """Means of 2x2 pixels. TensorFlow takes ten times as long for every other pixel of a row."""
    height, width = (side // 2 for side in ops.shape(planes)[2:])
    planes = planes[:, :, : 2 * height, : 2 * width]
    pairs = ops.reshape(planes, (-1, 3, height, 2, 2 * width))
    pairs = ops.reshape(pairs[:, :, :, 0] + pairs[:, :, :, 1], (-1, 3, height, width, 2))
    return (pairs[..., 0] + pairs[..., 1]) / 4
