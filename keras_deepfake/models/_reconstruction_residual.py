"""What an autoencoder leaves out of an image."""

import keras
from keras import ops

from keras_deepfake.models._name_scopes import own_name_scope


@keras.saving.register_keras_serializable(package="keras_deepfake")
class ReconstructionResidual(keras.layers.Layer):
    """Image less its reconstruction by a trained autoencoder, times a constant.

    The autoencoder is part of the measurement and never changes: it stays frozen whatever the
    `trainable` of this layer or of a model around it is set to, and runs as in inference while
    the rest trains, so that batch statistics stay and corruptions do nothing. The reconstruction
    has the dtype policies of the autoencoder; the difference is taken in float32, as the images
    and their reconstruction would round to almost the same, and then cast.

    Args:
        autoencoder: A built Keras model from images to images of the same shape. The layer
            freezes it: pass a copy.
        scale: Float, the factor. Residuals of some hundredths are brought to the spread that
            the usual initial weights expect.
        **kwargs: Base layer arguments such as `name` and `dtype`.

    Input shape:
        That of the autoencoder.

    Output shape:
        That of the input.

    Raises:
        ValueError: If the autoencoder returns images of another shape.
    """

    def __init__(self, autoencoder, scale=10.0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        if isinstance(autoencoder, dict):
            with own_name_scope(self.name):
                autoencoder = keras.saving.deserialize_keras_object(autoencoder)
        _check_same_shape(autoencoder.inputs[0].shape, autoencoder.outputs[0].shape)
        autoencoder.trainable = False
        self.autoencoder = autoencoder
        self.scale = scale
        self.built = True

    @property
    def trainable(self):
        return False

    @trainable.setter
    def trainable(self, value):
        # Thawing an encoder for fine-tuning, a setter that reaches everything inside, must not
        # thaw the reconstruction.
        pass

    def call(self, inputs):
        images = ops.cast(inputs, "float32")
        reconstruction = self.autoencoder(images, training=False)
        _check_same_shape(images.shape, reconstruction.shape)
        residual = images - ops.cast(reconstruction, "float32")
        return ops.cast(residual * self.scale, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.update(
            autoencoder=keras.saving.serialize_keras_object(self.autoencoder), scale=self.scale
        )
        return config


def _check_same_shape(images, reconstruction):
    if len(images) != len(reconstruction) or any(
        None not in sides and sides[0] != sides[1]
        for sides in zip(images, reconstruction, strict=True)
    ):
        raise ValueError(
            f"Images of shape {tuple(images)} are reconstructed in another shape, "
            f"{tuple(reconstruction)}, and have no residual. Use sides that are divisible by 2 to "
            "the number of blocks of the autoencoder."
        )
