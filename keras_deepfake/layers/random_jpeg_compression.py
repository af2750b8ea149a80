"""JPEG compression of random quality."""

import keras

from keras_deepfake._arguments import check_choice
from keras_deepfake.layers._image_arguments import check_quality
from keras_deepfake.layers._jpeg import compress
from keras_deepfake.layers.random_image_layer import RandomImageLayer


@keras.saving.register_keras_serializable(package="keras_deepfake")
class RandomJPEGCompression(RandomImageLayer):
    """Compresses each image as a JPEG file of random quality, and decompresses it.

    Computes what an encoder and a decoder do to the pixels: 8-bit rounding, YCbCr, optional 2x2
    chroma subsampling, 8x8 DCT, quantisation by the standard tables scaled to the quality as
    libjpeg scales them, the inverse DCT, linear ("fancy") chroma upsampling and 8-bit RGB. Sides
    that are not a multiple of the block are padded by repeating the edge, as encoders do. The
    result agrees with Pillow's at the same quality and subsampling, but for coefficients that lie
    just between two steps, which libjpeg's whole numbers may round the other way; no file is
    written.

    Rounding passes the gradient unchanged (straight-through), so the layer can stand inside a
    model. It acts only with `training=True`, which is the default of a direct call, as for
    Keras's own augmentation layers. It can be mapped over a `tf.data.Dataset` under every backend.

    Args:
        quality: Integer from 1 (worst) to 100 (best), or a pair of them between which each image's
            quality is drawn, both ends included. Defaults to `(30, 100)`.
        chroma_subsampling: `"4:2:0"` (colour at half resolution, what most files have) or
            `"4:4:4"` (full resolution).
        value_range: The lowest and the highest value of the images, `(0, 1)` or `(0, 255)`.
            Defaults to `(0, 1)`.
        seed: Integer. Seed of the random qualities.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to the Keras setting.
        **kwargs: Base layer keyword arguments, such as `name` and `dtype`.

    Input shape:
        RGB images, 4-D `(batch, height, width, 3)` (or `(batch, 3, height, width)` with
        `"channels_first"`) or one 3-D image, of any size.

    Output shape:
        The input's. Floats of the compute dtype at the 256 levels of an 8-bit image, scaled to
        `value_range`.

    Raises:
        ValueError: If an argument is not one of the above, or the images are not RGB.

    Example:
        ```python
        images = np.random.uniform(size=(4, 48, 48, 3))
        compress = kd.layers.RandomJPEGCompression(quality=(30, 95), seed=0)
        compressed = compress(images, training=True)
        ```

    As a step of a `tf.data` pipeline: `dataset.map(lambda x, y: (compress(x), y))`.

    Reference:
        - ITU-T Recommendation T.81 (1992), annexes A and K.
        - libjpeg, `jcparam.c`, for the scaling of the tables by quality.
    """

    def __init__(
        self,
        quality=(30, 100),
        chroma_subsampling="4:2:0",
        value_range=(0, 1),
        seed=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(value_range=value_range, seed=seed, data_format=data_format, **kwargs)
        self.quality = check_quality("quality", quality)
        self.chroma_subsampling = check_choice(
            "chroma_subsampling", chroma_subsampling, ("4:2:0", "4:4:4")
        )

    def draw_transformation(self, batch_size, seed):
        low, high = self.quality
        return self.backend.random.randint((batch_size,), low, high + 1, dtype="int32", seed=seed)

    def transform_planes(self, planes, transformation):
        return compress(self.backend, planes, transformation, self.chroma_subsampling)

    def get_config(self):
        config = super().get_config()
        config.update({"quality": self.quality, "chroma_subsampling": self.chroma_subsampling})
        return config
