"""The class token of a vision transformer."""

import keras


@keras.saving.register_keras_serializable(package="keras_deepfake")
class ClassToken(keras.layers.Layer):
    """The first of the tokens of an image, in which vision transformers gather the whole of it.

    As `pooling="cls"` of `kd.models.EncoderClassifier` it makes a vector of what a transformer
    gives. The layer has no weights; transformers without a class token need
    `keras.layers.GlobalAveragePooling1D` instead.

    Args:
        **kwargs: Base layer arguments such as `name` and `dtype`.

    Input shape:
        `(batch, tokens, channels)`, whose number may be unknown.

    Output shape:
        `(batch, channels)`.

    Raises:
        ValueError: If the input has another number of axes.

    Example:
        ```python
        tokens = np.random.default_rng(0).normal(size=(2, 197, 64)).astype("float32")
        kd.layers.ClassToken()(tokens)  # tokens[:, 0], of shape (2, 64)
        ```

    Reference:
        Dosovitskiy et al., "An image is worth 16x16 words: transformers for image recognition
        at scale", ICLR 2021, section 3.1.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def call(self, inputs):
        return inputs[:, 0]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[2])
