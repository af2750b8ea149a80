"""Self-blended images: fakes made of real faces."""

import math

import keras
import numpy as np

from keras_deepfake._arguments import check_flag
from keras_deepfake.layers._rounding import round_to_levels
from keras_deepfake.layers._separable_filters import (
    apply_filter,
    gaussian_matrix,
    nearest_down_up_matrix,
    shift_scale_matrix,
)
from keras_deepfake.layers.random_degradation import RandomDegradation
from keras_deepfake.layers.random_image_layer import KerasAugmentation, RandomImageLayer

# The kinds of mask, and the ranges of the superellipse each starts from: centre x, centre y,
# half-width, half-height (in half sides of the image, y downwards) and exponent.
_FACE = ((-0.1, 0.1), (-0.1, 0.15), (0.5, 0.85), (0.6, 0.95), (2.0, 4.0))
_EYES = ((-0.1, 0.1), (-0.4, -0.05), (0.45, 0.75), (0.2, 0.4), (2.0, 6.0))
_MOUTH = ((-0.1, 0.1), (0.3, 0.6), (0.3, 0.55), (0.2, 0.35), (2.0, 4.0))
_SUPERELLIPSES = {
    "face": _FACE,
    "eyes": _EYES,
    "mouth": _MOUTH,
    "half": _FACE,
    "noise": _FACE,
    "polygon": _FACE,
}
_KINDS = tuple(_SUPERELLIPSES)
_POLYGON_SIDES = 8
# What a Gaussian leaves far away counts as zero.
_MASK_TAIL = 1.0 / 64.0
_BLEND_RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)


@keras.saving.register_keras_serializable(package="keras_deepfake")
class SelfBlendedImages(RandomImageLayer):
    """Makes fakes out of real faces: each is blended with a changed copy of itself.

    Trains a face-swap detector from real photographs alone. A swap pastes one face into another
    and leaves a blending boundary, and statistics that differ inside and outside of it. A
    self-blended image has just these and no other trace, so that a network cannot learn the
    shortcuts of one forgery method. For every image the layer

    1. copies it to a source and a target, and changes the colour and the sharpness of one of
       them, at random;
    2. shifts and scales the source slightly;
    3. draws a mask: a superellipse over the face, half of it, a polygon, a band over the eyes or
       the mouth, or patches; bends it elastically, blurs it, keeps the core, blurs that, and
       multiplies it by 0.25, 0.5, 0.75 or 1;
    4. returns the target as the real image and `mask * source + (1 - mask) * target` as the fake.

    No landmarks are needed: the faces should be upright crops in which the face fills most of the
    image. Both images of a pair are rounded to 8-bit levels; where the mask is zero they are equal
    bit for bit. Leave augmentations that erase or cut parts of images (random erasing, CutMix)
    off: they make false edges.

    A call acts unless `training=False` is passed, as for Keras's own augmentation layers; then
    the images come back unchanged, all labelled real. The layer can be mapped over a
    `tf.data.Dataset` of batches under every backend.

    Args:
        degradation: A `RandomDegradation`, or another image augmentation layer of Keras, of the
            same `value_range`, `data_format` and `dtype`, applied to both images of a pair with
            the same random choices. `None` for none. To augment every image by itself, put the
            layer after this one instead.
        return_masks: Whether to return the masks as a third output. Defaults to `False`.
        value_range: The lowest and the highest value of the images, `(0, 1)` or `(0, 255)`.
            Defaults to `(0, 1)`.
        seed: Integer. Seed of the random choices.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to the Keras setting.
        **kwargs: Base layer keyword arguments, such as `name` and `dtype`.

    Input shape:
        A batch of RGB images of real faces, 4-D `(batch, height, width, 3)` (or
        `(batch, 3, height, width)` with `"channels_first"`).

    Output shape:
        A tuple, in the compute dtype, which `fit` takes as it is:

        - images `(2 * batch, height, width, 3)`: the real images, then the fakes in the same order;
        - one-hot labels `(2 * batch, 2)`: column 0 is fake, column 1 is real;
        - with `return_masks`, the masks `(2 * batch, height, width, 1)` in [0, 1]: zero for the
          real images, and how much of the source a fake has at each pixel.

    Raises:
        ValueError: If an argument is not one of the above, or the images are not a batch of RGB
            images.

    Example:
        ```python
        import tensorflow as tf

        photographs = np.random.uniform(size=(8, 32, 32, 3))
        reals = tf.data.Dataset.from_tensor_slices(photographs).batch(4)
        model = keras.Sequential(
            [
                kd.layers.ConvBlock(8),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(2, activation="softmax"),
            ]
        )
        model.compile("adam", "categorical_crossentropy")
        model.fit(reals.map(kd.layers.SelfBlendedImages(seed=0)), verbose=0)
        ```

    A folder of photographs: `keras.utils.image_dataset_from_directory(folder, labels=None)`, its
    images divided by 255; or, with a `reconstruction_dataset`, which gives each batch twice,
    `dataset.map(lambda images, _: self_blended(images))`.

    Reference:
        Shiohara and Yamasaki (2022), "Detecting Deepfakes with Self-Blended Images". The masks
        there follow the landmarks of each face.
    """

    def __init__(
        self,
        degradation=None,
        return_masks=False,
        value_range=(0, 1),
        seed=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(value_range=value_range, seed=seed, data_format=data_format, **kwargs)
        if degradation is not None:
            self._check_degradation(degradation)
            # Shared, so that it changes to TensorFlow inside `tf.data` when this layer does.
            degradation.backend = self.backend
        self.degradation = degradation
        self.return_masks = check_flag("return_masks", return_masks)

    def _check_degradation(self, degradation):
        if not isinstance(degradation, KerasAugmentation):
            raise ValueError(
                "`degradation` must be None, a `RandomDegradation`, or another Keras image "
                f"augmentation layer; got {degradation!r}."
            )
        # Of Keras's own layers only some have a range.
        if hasattr(degradation, "value_range"):
            inner = tuple(map(float, degradation.value_range))
            if inner != self.value_range:
                self._refuse(degradation, "value_range", inner, self.value_range)
        for name, inner, outer in (
            ("data_format", degradation.data_format, self.data_format),
            ("dtype", degradation.dtype_policy.name, self.dtype_policy.name),
        ):
            if inner != outer:
                self._refuse(degradation, name, inner, outer)
        if not isinstance(degradation, RandomDegradation) and self._draws_anew(degradation):
            raise ValueError(
                f"`degradation` must transform both images of a pair alike; "
                f"{type(degradation).__name__} draws other random numbers for the second on the "
                f"{keras.backend.backend()} backend."
            )

    def _refuse(self, degradation, name, inner, outer):
        raise ValueError(
            f"`degradation` must have the `{name}` of the images that it gets, {outer!r}; got one "
            f"with {inner!r}. Write `{type(degradation).__name__}({name}={outer!r}, ...)`."
        )

    def build(self, input_shape=None):
        if self.degradation is not None:
            self.degradation.build(input_shape)
        self.built = True

    def call(self, images, training=True):
        ops = self.backend.numpy
        if len(images.shape) != 4:
            raise ValueError(
                "`SelfBlendedImages` needs batches of images, 4-D; got shape "
                f"{tuple(images.shape)}. Call `dataset.batch(...)` before `dataset.map(...)`, or "
                "add a batch axis."
            )
        planes = self._to_planes(images)
        is_fake = ops.zeros_like(planes[:, 0, 0, :1])
        if training:
            source, target = self._source_and_target(planes)
            mask = self._masks(planes)
            pair = [target, self._blend(target, source, mask)]
            pair = [self.backend.cast(self._from_planes(x), self.compute_dtype) for x in pair]
            if self.degradation is not None:
                transformation = self.degradation.get_random_transformation(images)
                pair = [
                    self.degradation.transform_images(x, self._copied(transformation)) for x in pair
                ]
                if self.return_masks:
                    # A geometric degradation moves the blended region too.
                    mask = self.degradation.transform_segmentation_masks(
                        self._axes_of_images(mask), self._copied(transformation)
                    )
                    mask = self._axes_of_planes(mask)
            images = ops.concatenate(pair, axis=0)
            is_fake = ops.concatenate([is_fake, ops.ones_like(is_fake)], axis=0)
            mask = ops.concatenate([ops.zeros_like(mask), mask], axis=0)
        else:
            mask = ops.zeros_like(planes[:, :1])
        mask = self._axes_of_images(mask)
        labels = ops.concatenate([is_fake, 1.0 - is_fake], axis=1)
        outputs = (images, labels, mask) if self.return_masks else (images, labels)
        return tuple(self.backend.cast(x, self.compute_dtype) for x in outputs)

    def _copied(self, transformation):
        """Some layers of Keras change theirs in place."""
        is_tensor = self.backend.is_tensor
        return keras.tree.map_structure(
            lambda x: self.backend.numpy.copy(x) if is_tensor(x) else x, transformation
        )

    def _draws_anew(self, degradation):
        """Whether a layer transforms alike images differently under one transformation."""
        twin = type(degradation).from_config(degradation.get_config())
        shape = (1, 16, 16, 3) if self.data_format == "channels_last" else (1, 3, 16, 16)
        low, high = self.value_range
        values = np.random.default_rng(0).uniform(low, high, shape)
        images = keras.ops.convert_to_tensor(values, self.compute_dtype)
        transformation = twin.get_random_transformation(images)
        one, two = (
            keras.ops.convert_to_numpy(twin.transform_images(images, self._copied(transformation)))
            for _ in range(2)
        )
        return not np.array_equal(one, two)

    def compute_output_shape(self, input_shape):
        # The batch doubles, in training only.
        images, labels = (None, *input_shape[1:]), (None, 2)
        if not self.return_masks:
            return images, labels
        if self.data_format == "channels_last":
            return images, labels, (*images[:3], 1)
        return images, labels, (None, 1, *images[2:])

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "degradation": keras.saving.serialize_keras_object(self.degradation),
                "return_masks": self.return_masks,
            }
        )
        return config

    @classmethod
    def from_config(cls, config):
        degradation = keras.saving.deserialize_keras_object(config["degradation"])
        return super().from_config({**config, "degradation": degradation})

    def _blend(self, target, source, mask):
        # Exactly the target where the mask is zero, as its values are 8-bit levels already.
        return round_to_levels(self.backend, target + mask * (source - target))

    def _source_and_target(self, planes):
        batch_size = self.backend.shape(planes)[0]
        jittered = self._jitter_sharpness(self._jitter_colour(planes))
        jitter_source = self._draw(batch_size, 0.0, 1.0)[:, None, None, None] < 0.5
        source = self.backend.numpy.where(jitter_source, jittered, planes)
        target = self.backend.numpy.where(jitter_source, planes, jittered)
        rows, columns = (
            shift_scale_matrix(
                self.backend,
                size,
                self._draw(batch_size, -largest, largest),
                self._draw(batch_size, 0.95, 1.0 / 0.95),
            )
            for size, largest in zip(self.backend.shape(planes)[2:], (0.015, 0.03), strict=True)
        )
        source = apply_filter(self.backend, source, rows, columns)
        return source, round_to_levels(self.backend, target)

    def _jitter_colour(self, planes):
        ops = self.backend.numpy
        batch_size = self.backend.shape(planes)[0]
        shift = self._draw((batch_size, 3), -20.0, 20.0)
        shift = ops.where(self._draw((batch_size, 1), 0.0, 1.0) < 0.3, shift, 0.0)
        shift = shift + self._draw((batch_size, 1), -25.5, 25.5)
        contrast = self._draw(batch_size, 0.9, 1.1)[:, None, None, None]
        saturation = self._draw(batch_size, 0.7, 1.3)[:, None, None, None]
        planes = contrast * (planes - 128.0) + 128.0 + shift[..., None, None]
        grey = ops.mean(planes, axis=1, keepdims=True)
        return ops.clip(grey + saturation * (planes - grey), 0.0, 255.0)

    def _jitter_sharpness(self, planes):
        ops = self.backend.numpy
        batch_size, _, height, width = self.backend.shape(planes)
        sharpen = self._draw(batch_size, 0.0, 1.0) < 0.5
        reduction = 1.0 / self._draw(batch_size, 1.0, 2.5)
        sigma = ops.ones_like(reduction)
        filters = [
            ops.where(
                sharpen[:, None, None],
                gaussian_matrix(self.backend, size, sigma),
                nearest_down_up_matrix(self.backend, size, reduction),
            )
            for size in (height, width)
        ]
        # Minus one replaces the image by the filtered one; a positive amount sharpens it.
        amount = ops.where(sharpen, self._draw(batch_size, 0.2, 1.0), -1.0)[:, None, None, None]
        filtered = apply_filter(self.backend, planes, *filters)
        return ops.clip(planes + amount * (planes - filtered), 0.0, 255.0)

    def _masks(self, planes):
        """Soft masks `(batch, 1, height, width)`, zero away from the blended region."""
        ops = self.backend.numpy
        batch_size, _, height, width = self.backend.shape(planes)
        mask = self.backend.cast(self._shapes(batch_size, height, width), "float32")[:, None]
        side = self.backend.cast(ops.minimum(height, width), "float32")
        mask = self._blur_mask(mask, side)
        # Of the blurred mask only the core: its second blur stays within the first shape.
        core = mask > 0.95 * ops.max(mask, axis=(2, 3), keepdims=True)
        mask = self._blur_mask(self.backend.cast(core, "float32"), side)
        mask = mask / ops.maximum(ops.max(mask, axis=(2, 3), keepdims=True), 1e-6)
        mask = ops.maximum(mask - _MASK_TAIL, 0.0) / (1.0 - _MASK_TAIL)
        ratios = self.backend.convert_to_tensor(_BLEND_RATIOS, "float32")
        ratio = ops.take(ratios, self._draw_index(batch_size, len(_BLEND_RATIOS)))
        return mask * ratio[:, None, None, None]

    def _blur_mask(self, mask, side):
        batch_size, _, height, width = self.backend.shape(mask)
        sigma = self._draw(batch_size, 0.004, 0.02) * side
        rows, columns = (gaussian_matrix(self.backend, size, sigma) for size in (height, width))
        return apply_filter(self.backend, mask, rows, columns)

    def _shapes(self, batch_size, height, width):
        """Boolean masks `(batch, height, width)`, each of a random kind and elastically bent."""
        ops = self.backend.numpy
        kind = self._draw_index(batch_size, len(_KINDS))
        ranges = self.backend.convert_to_tensor(
            [_SUPERELLIPSES[name] for name in _KINDS], "float32"
        )
        low, high = ops.split(ops.take(ranges, kind, axis=0), 2, axis=2)
        drawn = low + (high - low) * self._draw((batch_size, 5, 1), 0.0, 1.0)
        centre_x, centre_y, half_width, half_height, exponent = (
            drawn[:, i, :, None] for i in range(5)
        )

        bend = self._draw(batch_size, 0.0, 0.15)[:, None, None]
        x = self._grid(width) + bend * self._smooth_noise(batch_size, height, width)
        y = self._grid(height)[:, None] + bend * self._smooth_noise(batch_size, height, width)
        x, y = (x - centre_x) / half_width, (y - centre_y) / half_height
        superellipse = (ops.abs(x) + 1e-6) ** exponent + (ops.abs(y) + 1e-6) ** exponent < 1.0

        angle = self._draw(batch_size, 0.0, 2.0 * math.pi)[:, None, None]
        offset = self._draw(batch_size, -0.2, 0.2)[:, None, None]
        cut = ops.cos(angle) * x + ops.sin(angle) * y < offset
        patches = self._smooth_noise(batch_size, height, width) > 0.0
        polygon = True
        for side in range(_POLYGON_SIDES):
            angle = (side + self._draw(batch_size, 0.0, 1.0)) * (2.0 * math.pi / _POLYGON_SIDES)
            angle = angle[:, None, None]
            distance = self._draw(batch_size, 0.6, 1.0)[:, None, None]
            inside = ops.cos(angle) * x + ops.sin(angle) * y < distance
            polygon = ops.logical_and(inside, polygon)

        kind = kind[:, None, None]
        shape = ops.where(kind == _KINDS.index("polygon"), polygon, superellipse)
        shape = ops.where(kind == _KINDS.index("half"), ops.logical_and(shape, cut), shape)
        return ops.where(kind == _KINDS.index("noise"), ops.logical_and(shape, patches), shape)

    def _grid(self, size):
        """Pixel centres along a side, from -1 to 1."""
        centres = self.backend.numpy.arange(size, dtype="float32") + 0.5
        return centres * (2.0 / self.backend.cast(size, "float32")) - 1.0

    def _smooth_noise(self, batch_size, height, width):
        noise = self._draw((batch_size, 6, 6, 1), -1.0, 1.0)
        noise = self.backend.image.resize(
            noise, (height, width), interpolation="bilinear", data_format="channels_last"
        )
        return noise[..., 0]

    def _draw(self, shape, low, high):
        shape = shape if isinstance(shape, tuple) else (shape,)
        return self.draw_uniform(shape, low, high, self._get_seed_generator(self.backend.name))

    def _draw_index(self, batch_size, count):
        seed = self._get_seed_generator(self.backend.name)
        return self.backend.random.randint((batch_size,), 0, count, dtype="int32", seed=seed)
