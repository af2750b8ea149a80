"""The convolutional autoencoder of the recipe's first stage."""

import math

import keras
import numpy as np

from keras_deepfake._arguments import (
    check_activation,
    check_data_format,
    check_integer,
    check_policy,
    check_sequence,
)
from keras_deepfake._pixels import to_numpy, unit_pixels
from keras_deepfake.layers import ConvBlock, ConvTransposeBlock
from keras_deepfake.models._name_scopes import own_name_scope
from keras_deepfake.models.detection_model import DetectionModel
from keras_deepfake.models.prediction import check_finite_weights, predict_batch


@keras.saving.register_keras_serializable(package="keras_deepfake")
class ConvAutoencoder(DetectionModel):
    """Undercomplete convolutional autoencoder of images.

    The encoder is a chain of `ConvBlock`s that each halve the image; the decoder mirrors it
    with `ConvTransposeBlock`s and ends in a convolution to the channels of the image. The
    defaults are the study's network: 249 219 parameters, of which the encoder has 120 000,
    and a latent of 32×32×32 for a 256×256 image.

    Train it on pairs `(images, images)`, as `kd.datasets.reconstruction_dataset` gives them.
    `compile()` without arguments sets Adam at 1e-3, mean squared error and, where channels
    come last and are several, accuracy: the share of pixels whose strongest channel is
    reconstructed as such.

    Args:
        image_shape: `(height, width, channels)`, or `(channels, height, width)` with
            `data_format="channels_first"`. Sides must be divisible by 2 per block; a side of
            `None` leaves the size open.
        filters: Integers, the filters of the encoder's blocks from the image inwards.
        kernel_size: Integer, the size of every convolution window.
        activation: Activation of the blocks: a function or its name.
        output_activation: Activation of the reconstruction.
        normalization: Normalization in the blocks: `None`, `"batch"` or `"layer"`.
        corruption: A Keras layer that corrupts the input while training, or `None`. The
            target stays clean, which makes this a denoising autoencoder.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for the Keras default.
        dtype: Dtype policy of every layer, or `None` for the Keras default.
        **kwargs: Base model arguments, such as `name`.

    Input shape:
        `(batch, *image_shape)`, floating point in [0, 1].

    Output shape:
        That of the input: the reconstruction, in [0, 1] up to the error of the model.

    Raises:
        ValueError: If `image_shape` or `filters` do not fit the description, or a side is
            not divisible by 2 to the number of blocks.

    Example:
        ```python
        autoencoder = kd.models.ConvAutoencoder(image_shape=(32, 32, 3), filters=(16, 8))
        autoencoder.compile()
        images = np.random.default_rng(0).random((8, 32, 32, 3), "float32")
        autoencoder.fit(images, images, epochs=1, verbose=0)
        autoencoder.encoder.output_shape  # (None, 8, 8, 8)
        autoencoder.reconstruction_error(images).shape  # (8,)
        ```

    Reference:
        Goodfellow, Bengio and Courville, "Deep Learning", 2016, chapter 14 (undercomplete and
        denoising autoencoders).
    """

    def __init__(
        self,
        image_shape=(256, 256, 3),
        filters=(168, 64, 32),
        kernel_size=3,
        activation="relu",
        output_activation="relu",
        normalization=None,
        corruption=None,
        data_format=None,
        dtype=None,
        **kwargs,
    ):
        data_format = check_data_format(data_format)
        image_shape, filters = _check_shapes(image_shape, filters, data_format)
        dtype = check_policy(dtype)
        activation = check_activation("activation", activation)
        output_activation = check_activation("output_activation", output_activation)
        if isinstance(corruption, dict):
            corruption = keras.saving.deserialize_keras_object(corruption)
        if corruption is not None and not isinstance(corruption, keras.layers.Layer):
            raise ValueError(f"`corruption` must be a Keras layer or None; got {corruption!r}.")
        if getattr(corruption, "data_format", data_format) != data_format:
            raise ValueError(
                f"`corruption` must have the `data_format` of the autoencoder, {data_format!r}; "
                f"got {corruption.data_format!r}."
            )
        if corruption is not None and corruption.dtype_policy != dtype:
            corruption = type(corruption).from_config({**corruption.get_config(), "dtype": dtype})

        # === Layers ===
        block_arguments = {
            "kernel_size": kernel_size,
            "activation": activation,
            "normalization": normalization,
            "data_format": data_format,
            "dtype": dtype,
        }
        encoder_blocks = [
            ConvBlock(count, name=f"encoder_block_{i}", **block_arguments)
            for i, count in enumerate(filters)
        ]
        decoder_blocks = [
            ConvTransposeBlock(count, name=f"decoder_block_{i}", **block_arguments)
            for i, count in enumerate(reversed(filters))
        ]
        output_convolution = keras.layers.Conv2D(
            image_shape[0 if data_format == "channels_first" else -1],
            kernel_size,
            padding="same",
            activation=output_activation,
            data_format=data_format,
            dtype=dtype,
            name="reconstruction",
        )

        # === Functional model ===
        with own_name_scope("conv_autoencoder"):
            images = keras.Input(image_shape, name="encoder_images")
            x = images
            for block in encoder_blocks:
                x = block(x)
            encoder = keras.Model(images, x, name="encoder")

            latent = keras.Input(encoder.output_shape[1:], name="latent")
            x = latent
            for block in decoder_blocks:
                x = block(x)
            decoder = keras.Model(latent, output_convolution(x), name="decoder")
        encoder.dtype_policy = decoder.dtype_policy = dtype

        inputs = keras.Input(image_shape, name="images")
        x = inputs if corruption is None else corruption(inputs)
        super().__init__(inputs, decoder(encoder(x)), **kwargs)

        # === Config ===
        self.dtype_policy = dtype
        self.encoder = encoder
        self.decoder = decoder
        self.corruption = corruption
        self.image_shape = image_shape
        self.filters = filters
        self.kernel_size = kernel_size
        self.activation = activation
        self.output_activation = output_activation
        self.normalization = normalization
        self.data_format = data_format

    def default_compile_arguments(self):
        # Keras looks for the strongest along the last axis.
        has_strongest_channel = self.data_format == "channels_last" and self.image_shape[-1] > 1
        return {
            "optimizer": keras.optimizers.Adam(1e-3),
            "loss": keras.losses.MeanSquaredError(),
            "metrics": ["accuracy"] if has_strongest_channel else [],
        }

    def encode(self, x, batch_size=32):
        """Computes the latent of images, batch by batch and without corruption.

        Use the `encoder` itself where gradients or symbolic tensors are needed.

        Args:
            x: Images of shape `(batch, *image_shape)` in [0, 1].
            batch_size: Integer, how many images are encoded at a time.

        Returns:
            NumPy array of shape `(batch, *latent_shape)`.
        """
        check_finite_weights(self.encoder)
        return _by_batches(
            lambda part: predict_batch(self.encoder, unit_pixels(part, "x")), x, batch_size
        )

    def decode(self, z, batch_size=32):
        """Computes the images of latents, batch by batch.

        Args:
            z: Latents of shape `(batch, *latent_shape)`, as `encode` gives them.
            batch_size: Integer, how many latents are decoded at a time.

        Returns:
            NumPy array of shape `(batch, *image_shape)`.
        """
        check_finite_weights(self.decoder)

        def decode(part):
            if not np.isfinite(part).all():
                raise ValueError("`z` must be finite; it holds NaN or infinite values.")
            return predict_batch(self.decoder, part)

        return _by_batches(decode, z, batch_size, "z")

    def reconstruction_error(self, x, batch_size=32):
        """Computes the mean squared error of each image's reconstruction.

        Args:
            x: Images of shape `(batch, *image_shape)` in [0, 1].
            batch_size: Integer, how many images are reconstructed at a time.

        Returns:
            Float32 NumPy array of shape `(batch,)`.
        """
        # On TensorFlow a ReLU makes 0 of NaN: no NaN may hide behind a normal error.
        check_finite_weights(self)

        def error(part):
            images = unit_pixels(part, "x")
            reconstruction = predict_batch(self, images).astype("float32")
            return np.mean(np.square(images - reconstruction), axis=(1, 2, 3), dtype="float32")

        return _by_batches(error, x, batch_size)

    def get_config(self):
        config = super().get_config()
        config.update(
            image_shape=self.image_shape,
            filters=self.filters,
            kernel_size=self.kernel_size,
            activation=keras.activations.serialize(self.activation),
            output_activation=keras.activations.serialize(self.output_activation),
            normalization=self.normalization,
            corruption=keras.saving.serialize_keras_object(self.corruption),
            data_format=self.data_format,
            dtype=keras.dtype_policies.serialize(self.dtype_policy),
        )
        return config


def _by_batches(function, x, batch_size, name="x"):
    batch_size = check_integer("batch_size", batch_size, 1)
    x = to_numpy(x, name)
    if x.ndim != 4 or len(x) == 0:
        raise ValueError(
            f"`{name}` must be a batch of one or more images or latents, 4 axes; got shape "
            f"{x.shape}. Add the batch axis to a single one with `{name}[None]`."
        )
    starts = range(0, len(x), batch_size)
    return np.concatenate([function(x[i : i + batch_size]) for i in starts])


def _check_shapes(image_shape, filters, data_format):
    filters = check_sequence("filters", filters, lambda name, count: check_integer(name, count, 1))
    if not isinstance(image_shape, (tuple, list)) or len(image_shape) != 3:
        raise ValueError(
            "`image_shape` must hold height, width and channels (for 'channels_first': channels, "
            f"height and width); got {image_shape!r}."
        )
    image_shape = tuple(
        None if side is None else check_integer("image_shape", side, 1) for side in image_shape
    )
    channels_first = data_format == "channels_first"
    sides = image_shape[1:] if channels_first else image_shape[:2]
    channels = image_shape[0] if channels_first else image_shape[2]
    if channels is None:
        raise ValueError(
            f"`image_shape` must name 1 or more channels in data format {data_format!r}; "
            f"got {image_shape}."
        )
    factor = 2 ** len(filters)
    for side in sides:
        if side is not None and side % factor:
            below, above = side // factor * factor, math.ceil(side / factor) * factor
            nearest = f"{below} or {above}" if below > 0 else f"{factor}"
            raise ValueError(
                f"`image_shape` sides must be divisible by {factor} (2 per block of `filters`, "
                f"{len(filters)} blocks); got {tuple(sides)}. Use {nearest} instead of {side}."
            )
    return image_shape, filters
