"""The base of the image augmentations."""

import keras

# The base of Keras's own image augmentations, which Keras does not export. It runs `call` on
# TensorFlow inside `tf.data` whatever the backend, which is why its subclasses compute with
# `self.backend` (the namespaces behind `keras.ops`), and it takes single images, batches, and
# dictionaries of images and labels.
_KerasAugmentation = keras.layers.RandomGrayscale.__base__


class RandomImageLayer(_KerasAugmentation):
    """What the random layers share: RGB images in `value_range`, a seed, and 8-bit levels.

    A subclass draws its random numbers in `get_random_transformation(data)` and applies them in
    `transform_planes(planes, transformation)`, where planes are float32 images of shape
    `(batch, 3, height, width)` on the 0-255 scale.
    """

    _USE_BASE_FACTOR = False

    def __init__(self, value_range=(0, 1), seed=None, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        low, high = value_range
        if not low < high:
            raise ValueError(
                "`value_range` must be the lowest and the highest value of the images, for "
                f"example (0, 1) or (0, 255). Received: value_range={value_range}"
            )
        self.value_range = (low, high)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

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
                f"{self.__class__.__name__} needs RGB images, with 3 channels in "
                f"{self.data_format} order. Received: shape={shape}. Repeat the channel of a grey "
                "image, drop an alpha channel, or set `data_format`."
            )
        low, high = self.value_range
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

    def _batch_size(self, data):
        shape = self.backend.shape(data["images"] if isinstance(data, dict) else data)
        return shape[0] if len(shape) == 4 else 1

    def _uniform(self, shape, low, high, seed):
        return self.backend.random.uniform(shape, low, high, dtype="float32", seed=seed)
