"""The base of the image augmentations."""

import keras

from keras_deepfake._arguments import check_data_format, check_seed
from keras_deepfake.layers._image_arguments import check_value_range

# The base of Keras's own image augmentations, which Keras does not export. It runs `call` on
# TensorFlow inside `tf.data` whatever the backend, which is why its subclasses compute with
# `self.backend` (the namespaces behind `keras.ops`), and it takes single images, batches, and
# dictionaries of images and labels.
KerasAugmentation = keras.layers.RandomGrayscale.__base__


class RandomImageLayer(KerasAugmentation):
    """Base of random augmentations of RGB images; write your own by subclassing it.

    What every such layer shares: a `value_range`, a seed, both data formats, single images and
    batches, dictionaries of images and labels, and working under every backend inside a model as
    well as in `tf.data`, where it runs on TensorFlow. It acts only with `training=True`, which is
    the default of a direct call, as for Keras's own augmentation layers.

    A subclass says two things, computing with `self.backend` (`self.backend.numpy`, `.random`,
    `.image`, which hold what `keras.ops` and `keras.random` do) and not with `keras.ops`:

    - `draw_transformation(batch_size, seed)` returns the random numbers of a batch, as one tensor
      or a structure of tensors. `seed` goes to the functions of `self.backend.random`, or to
      `self.draw_uniform(shape, low, high, seed)`;
    - `transform_planes(planes, transformation)` applies them to float32 images of shape
      `(batch, 3, height, width)` on the scale of 0-255, and returns images of the same.

    Labels, boxes and segmentation masks stay as they are. Arguments of its own belong into
    `get_config`, and the class is to be registered for saving.

    Args:
        value_range: The lowest and the highest value of the images, `(0, 1)` or `(0, 255)`.
        seed: Integer or `None`, the seed of the random numbers.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for the Keras default.
        **kwargs: Base layer arguments such as `name` and `dtype`.

    Input shape:
        RGB images, 4-D `(batch, height, width, 3)` (or `(batch, 3, height, width)` with
        `"channels_first"`) or one 3-D image, of any size.

    Output shape:
        The input's, in the compute dtype.

    Raises:
        ValueError: If an argument is not one of the above, or the images are not RGB.

    Example:
        ```python
        @keras.saving.register_keras_serializable(package="my_project")
        class RandomExposure(kd.layers.RandomImageLayer):
            def __init__(self, strength=0.2, **kwargs):
                super().__init__(**kwargs)
                self.strength = strength

            def draw_transformation(self, batch_size, seed):
                low, high = 1 - self.strength, 1 + self.strength
                return self.draw_uniform((batch_size, 1, 1, 1), low, high, seed)

            def transform_planes(self, planes, transformation):
                return self.backend.numpy.clip(planes * transformation, 0.0, 255.0)

            def get_config(self):
                return {**super().get_config(), "strength": self.strength}

        images = np.random.default_rng(0).random((4, 32, 32, 3), "float32")
        exposed = RandomExposure(0.5, seed=0)(images, training=True)
        ```
    """

    _USE_BASE_FACTOR = False

    def __init__(self, value_range=(0, 1), seed=None, data_format=None, **kwargs):
        super().__init__(data_format=check_data_format(data_format), **kwargs)
        self.value_range = check_value_range(value_range)
        self.seed = check_seed(seed, optional=True)
        self.generator = keras.random.SeedGenerator(self.seed)

    def draw_transformation(self, batch_size, seed):
        raise NotImplementedError(
            f"`{type(self).__name__}` must define `draw_transformation(batch_size, seed)`."
        )

    def transform_planes(self, planes, transformation):
        raise NotImplementedError(
            f"`{type(self).__name__}` must define `transform_planes(planes, transformation)`."
        )

    def draw_uniform(self, shape, low, high, seed):
        """Draw float32 numbers in [low, high) of a shape."""
        return self.backend.random.uniform(shape, low, high, dtype="float32", seed=seed)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        shape = self.backend.shape(data["images"] if isinstance(data, dict) else data)
        batch_size = shape[0] if len(shape) == 4 else 1
        return self.draw_transformation(
            batch_size, seed or self._get_seed_generator(self.backend.name)
        )

    def transform_images(self, images, transformation, training=True):
        if training:
            images = self._from_planes(
                self.transform_planes(self._to_planes(images), transformation)
            )
        return self.backend.cast(images, self.compute_dtype)

    def transform_labels(self, labels, transformation, training=True):
        return labels

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        return bounding_boxes

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return segmentation_masks

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.update({"value_range": self.value_range, "seed": self.seed})
        return config

    def _to_planes(self, images):
        shape = tuple(images.shape)
        if shape[-1 if self.data_format == "channels_last" else -3] != 3:
            raise ValueError(
                f"`{type(self).__name__}` needs RGB images, with 3 channels in "
                f"{self.data_format} order; got shape {shape}. Repeat the channel of a grey "
                "image, drop an alpha channel, or set `data_format`."
            )
        low, high = self.value_range
        dtype = keras.backend.standardize_dtype(images.dtype)
        if high <= 1 and "int" in dtype:
            raise ValueError(
                f"`{type(self).__name__}` got images of {dtype}, and its `value_range` is "
                f"{self.value_range}: set `value_range=(0, 255)`, or divide by 255."
            )
        images = (self.backend.cast(images, "float32") - low) * (255.0 / (high - low))
        return self._axes_of_planes(images)

    def _from_planes(self, planes):
        low, high = self.value_range
        return self._axes_of_images(planes) / (255.0 / (high - low)) + low

    def _axes_of_planes(self, images):
        if self.data_format == "channels_first":
            return images
        return self.backend.numpy.transpose(images, (0, 3, 1, 2))

    def _axes_of_images(self, planes):
        if self.data_format == "channels_first":
            return planes
        return self.backend.numpy.transpose(planes, (0, 2, 3, 1))
