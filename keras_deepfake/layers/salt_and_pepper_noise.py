"""Salt-and-pepper noise for denoising autoencoders."""

import keras
from keras import ops

from keras_deepfake._arguments import check_data_format, check_number, check_seed
from keras_deepfake.layers._image_arguments import check_value_range


@keras.saving.register_keras_serializable(package="keras_deepfake")
class SaltAndPepperNoise(keras.layers.Layer):
    """Sets random pixels to black or white while training.

    Each pixel turns, with all its channels, black with probability `rate / 2` and white with
    the same probability. At inference the layer is the identity.

    Args:
        rate: Float in [0, 1], the expected share of corrupted pixels.
        value_range: Pair of increasing numbers, the values of black and of white.
        seed: Integer or `None`, the seed of the noise.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for the Keras default.
        **kwargs: Base layer arguments such as `name` and `dtype`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` with
        `data_format="channels_first"`; floating point in `value_range`.

    Output shape:
        That of the input.

    Raises:
        ValueError: If `rate` is outside [0, 1], or `value_range` is not two increasing numbers.

    Example:
        ```python
        noise = kd.layers.SaltAndPepperNoise(0.1, seed=0)
        noise(np.full((2, 32, 32, 3), 0.5, "float32"), training=True)
        ```

    Reference:
        Vincent et al., "Stacked Denoising Autoencoders", JMLR 2010, section 3.3.
    """

    def __init__(self, rate, value_range=(0.0, 1.0), seed=None, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = check_number("rate", rate, 0, 1)
        self.value_range = check_value_range(value_range)
        self.seed = check_seed(seed, optional=True)
        self.data_format = check_data_format(data_format)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.input_spec = keras.layers.InputSpec(ndim=4)
        self.built = True

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        shape = list(ops.shape(inputs))
        shape[1 if self.data_format == "channels_first" else -1] = 1
        draws = keras.random.uniform(shape, seed=self.seed_generator)
        black, white = (ops.cast(value, inputs.dtype) for value in self.value_range)
        outputs = ops.where(draws < self.rate / 2, black, inputs)
        return ops.where(draws >= 1 - self.rate / 2, white, outputs)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.update(
            rate=self.rate,
            value_range=self.value_range,
            seed=self.seed,
            data_format=self.data_format,
        )
        return config
