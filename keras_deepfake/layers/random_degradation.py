"""Blur, resizing and JPEG in random order."""

import keras

from keras_deepfake._arguments import check_increasing, check_number
from keras_deepfake.layers._image_arguments import check_quality
from keras_deepfake.layers._jpeg import compress
from keras_deepfake.layers._rounding import round_to_levels
from keras_deepfake.layers._separable_filters import apply_filter, down_up_matrix, gaussian_matrix
from keras_deepfake.layers.random_image_layer import RandomImageLayer


@keras.saving.register_keras_serializable(package="keras_deepfake")
class RandomDegradation(RandomImageLayer):
    """Blurs, resizes and JPEG-compresses each image in a random order and strength.

    What happens to a photograph on its way through the net: a detector trained without it fails
    on recompressed images. Each image draws its own order, its own strengths, and whether each of
    the three acts at all:

    - Gaussian blur of random standard deviation;
    - antialiased linear reduction to a random fraction of the size, and linear enlargement back;
    - JPEG compression of random quality (`RandomJPEGCompression`, chroma at half resolution).

    The result is rounded to the 256 levels of an 8-bit image, degraded or not. The layer acts only
    with `training=True`, which is the default of a direct call, as for Keras's own augmentation
    layers. It can be mapped over a `tf.data.Dataset` under every backend, and passes gradients.
    Noise is left to `keras.layers.GaussianNoise`.

    Args:
        blur: Pair of floats, the range of the standard deviation in pixels. `None` for no blur.
            Defaults to `(0.0, 2.0)`.
        resize: Pair of floats in (0, 1], the range of the fraction that each side is reduced to.
            `None` for no resizing. Defaults to `(0.5, 1.0)`.
        jpeg: Integer from 1 to 100, or a pair of them, the range of the quality. `None` for no
            compression. Defaults to `(30, 100)`.
        probability: Float in [0, 1]. The probability of each of the three to act on an image.
        value_range: The lowest and the highest value of the images, `(0, 1)` or `(0, 255)`.
            Defaults to `(0, 1)`.
        seed: Integer. Seed of the random choices.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to the Keras setting.
        **kwargs: Base layer keyword arguments, such as `name` and `dtype`.

    Input shape:
        RGB images, 4-D `(batch, height, width, 3)` (or `(batch, 3, height, width)` with
        `"channels_first"`) or one 3-D image, of any size.

    Output shape:
        The input's, in the compute dtype.

    Raises:
        ValueError: If an argument is not one of the above, or the images are not RGB.

    Example:
        ```python
        images = np.random.uniform(size=(4, 48, 48, 3))
        degrade = kd.layers.RandomDegradation(blur=(0.0, 1.5), jpeg=(40, 95), seed=0)
        degraded = degrade(images, training=True)
        ```

    As a step of a `tf.data` pipeline: `dataset.map(lambda x, y: (degrade(x), y))`.

    Reference:
        Wang et al. (2020), "CNN-generated images are surprisingly easy to spot... for now",
        section 3.3 (blur and JPEG as augmentation).
    """

    def __init__(
        self,
        blur=(0.0, 2.0),
        resize=(0.5, 1.0),
        jpeg=(30, 100),
        probability=0.5,
        value_range=(0, 1),
        seed=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(value_range=value_range, seed=seed, data_format=data_format, **kwargs)
        self.blur = self.resize = self.jpeg = None
        if blur is not None:
            self.blur = check_increasing(
                "blur", blur, lambda name, sigma: check_number(name, sigma, 0, 1000)
            )
        if resize is not None:
            self.resize = check_increasing(
                "resize", resize, lambda name, scale: check_number(name, scale, above=0, most=1)
            )
        if jpeg is not None:
            self.jpeg = check_quality("jpeg", jpeg)
        self.probability = check_number("probability", probability, 0, 1)

    def draw_transformation(self, batch_size, seed):
        acts = self.draw_uniform((batch_size, 3), 0.0, 1.0, seed) < self.probability
        times = self.draw_uniform((batch_size, 3), 0.0, 1.0, seed)
        transformation = {
            # Of blur, resizing and JPEG; a step that does not act never comes.
            "times": self.backend.numpy.where(acts, times, float("inf")),
            "sigma": self.draw_uniform((batch_size,), *(self.blur or (0.0, 0.0)), seed),
            "scale": self.draw_uniform((batch_size,), *(self.resize or (1.0, 1.0)), seed),
        }
        if self.jpeg is not None:
            transformation["quality"] = self.backend.random.randint(
                (batch_size,), self.jpeg[0], self.jpeg[1] + 1, dtype="int32", seed=seed
            )
        return transformation

    def transform_planes(self, planes, transformation):
        ops = self.backend.numpy
        times = transformation["times"]
        acts = ops.isfinite(times)
        if self.jpeg is None:
            return round_to_levels(
                self.backend, self._blur_and_resize(planes, transformation, acts)
            )
        # JPEG is by far the costliest step: computed once, with the others before or after it.
        before, after = times < times[:, 2:], ops.logical_and(acts, times > times[:, 2:])
        planes = self._blur_and_resize(planes, transformation, before)
        compressed = compress(self.backend, planes, transformation["quality"], "4:2:0")
        planes = ops.where(acts[:, 2, None, None, None], compressed, planes)
        return round_to_levels(self.backend, self._blur_and_resize(planes, transformation, after))

    def _blur_and_resize(self, planes, transformation, acts):
        ops = self.backend.numpy
        times = transformation["times"]
        blur_first = (times[:, 0] < times[:, 1])[:, None, None]
        sigma = ops.where(acts[:, 0], transformation["sigma"], 0.0)
        scale = ops.where(acts[:, 1], transformation["scale"], 1.0)
        filters = []
        for size in self.backend.shape(planes)[2:]:
            blur = gaussian_matrix(self.backend, size, sigma)
            resize = down_up_matrix(self.backend, size, scale)
            first = ops.where(blur_first, blur, resize)
            filters.append(ops.matmul(ops.where(blur_first, resize, blur), first))
        return apply_filter(self.backend, planes, *filters)

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "blur": self.blur,
                "resize": self.resize,
                "jpeg": self.jpeg,
                "probability": self.probability,
            }
        )
        return config
