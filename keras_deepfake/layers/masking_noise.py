"""Masking noise for denoising autoencoders."""

import keras
from keras import ops

from keras_deepfake._arguments import (
    check_data_format,
    check_integer,
    check_number,
    check_seed,
)


@keras.saving.register_keras_serializable(package="keras_deepfake")
class MaskingNoise(keras.layers.Layer):
    """Sets random pixels or patches to zero while training.

    Each pixel, or each square patch of `patch_size` pixels, is erased with all its channels
    with probability `rate`, independently. What is kept is not rescaled, which is what
    distinguishes this from dropout: the autoencoder has to fill the holes in. At inference
    the layer is the identity.

    Args:
        rate: Float in [0, 1], the expected share of erased pixels.
        patch_size: Integer of 1 or more, the side of a patch in pixels. Sides that it does
            not divide end in a cut patch.
        seed: Integer or `None`, the seed of the noise.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for the Keras default.
        **kwargs: Base layer arguments such as `name` and `dtype`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` with
        `data_format="channels_first"`; floating point of any range in which 0 means "no
        signal".

    Output shape:
        That of the input.

    Raises:
        ValueError: If `rate` is outside [0, 1] or `patch_size` is below 1.

    Example:
        ```python
        noise = kd.layers.MaskingNoise(0.25, patch_size=4, seed=0)
        noise(np.ones((2, 32, 32, 3), "float32"), training=True)
        ```

    Reference:
        Vincent et al., "Stacked Denoising Autoencoders", JMLR 2010, section 3.3.
    """

    def __init__(self, rate, patch_size=1, seed=None, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = check_number("rate", rate, 0, 1)
        self.patch_size = check_integer("patch_size", patch_size, 1)
        self.seed = check_seed(seed, optional=True)
        self.data_format = check_data_format(data_format)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.input_spec = keras.layers.InputSpec(ndim=4)
        self.built = True

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        shape = ops.shape(inputs)
        channels_first = self.data_format == "channels_first"
        batch, height, width = shape[0], *(shape[2:] if channels_first else shape[1:3])
        rows, columns = (-(-side // self.patch_size) for side in (height, width))
        draws = keras.random.uniform((batch, rows, columns), seed=self.seed_generator)
        keep = ops.cast(draws >= self.rate, inputs.dtype)
        # Not by repeating, for a patch may be far larger than the image.
        keep = ops.take(keep, ops.arange(height) // self.patch_size, axis=1)
        keep = ops.take(keep, ops.arange(width) // self.patch_size, axis=2)
        return inputs * ops.expand_dims(keep, 1 if channels_first else -1)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.update(
            rate=self.rate,
            patch_size=self.patch_size,
            seed=self.seed,
            data_format=self.data_format,
        )
        return config
