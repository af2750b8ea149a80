import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy import ndimage

import keras_deepfake as kd


def photographs(batch=8, height=32, width=28):
    random = np.random.default_rng(0)
    cells = random.integers(30, 226, (batch, height // 4, width // 4, 3))
    return cells.repeat(4, 1).repeat(4, 2).astype("float32")


def call(inputs, training=True, **arguments):
    arguments = {"return_masks": True, "value_range": (0, 255), **arguments}
    layer = kd.layers.SelfBlendedImages(**arguments)
    return [ops.convert_to_numpy(output) for output in layer(inputs, training=training)]


@pytest.fixture(scope="module")
def many():
    """The reals, the fakes and their masks of 160 pairs, 20 of each photograph."""
    # Of the shape of the other tests, for which JAX has compiled each operation.
    batches = [call(photographs(), seed=seed) for seed in range(20)]
    pairs = [(*halves(images), halves(masks)[1]) for images, _, masks in batches]
    return [np.concatenate(arrays) for arrays in zip(*pairs, strict=True)]


def halves(array):
    return array[: len(array) // 2], array[len(array) // 2 :]


def test_pairs_and_labels():
    images, labels, masks = call(photographs(), seed=0)
    assert images.shape == (16, 32, 28, 3)
    assert masks.shape == (16, 32, 28, 1)
    np.testing.assert_array_equal(labels, [[0, 1]] * 8 + [[1, 0]] * 8)
    real_masks, fake_masks = halves(masks)
    assert not real_masks.any()
    assert all(mask.max() >= 0.24 for mask in fake_masks)
    np.testing.assert_array_equal(images, images.round())


def test_outside_the_mask_fake_and_real_are_equal_bit_for_bit(many):
    real, fake, mask = many
    outside = np.broadcast_to(mask == 0, real.shape)
    assert 0.4 < outside.mean() < 0.98
    np.testing.assert_array_equal(fake[outside], real[outside])
    # Nearly every fake differs from its real.
    assert np.mean(np.any(fake != real, axis=(1, 2, 3))) > 0.98
    # The corners of an upright face crop are never blended.
    assert not mask[:, [0, 0, -1, -1], [0, -1, 0, -1]].any()


def test_fake_is_the_blend_of_a_source_in_range(many):
    real, fake, mask = many
    # |fake - real| <= mask * |source - real| + rounding
    assert np.all(np.abs(fake - real) <= mask * 255 + 0.5)
    assert np.minimum(real, fake).min() >= 0
    assert np.maximum(real, fake).max() <= 255


def test_mask_of_zero_gives_the_real():
    layer = kd.layers.SelfBlendedImages()
    target = ops.convert_to_tensor(photographs().transpose(0, 3, 1, 2))
    blend = layer._blend(target, 255.0 - target, ops.zeros_like(target))
    np.testing.assert_array_equal(ops.convert_to_numpy(blend), ops.convert_to_numpy(target))
    full = layer._blend(target, 255.0 - target, ops.ones_like(target))
    np.testing.assert_array_equal(ops.convert_to_numpy(full), 255 - ops.convert_to_numpy(target))


def test_masks_vary_in_strength_place_and_size(many):
    masks = many[2][..., 0]
    peaks = np.unique(np.round(masks.max(axis=(1, 2)), 3))
    np.testing.assert_allclose(peaks, [0.25, 0.5, 0.75, 1.0], atol=2e-3)
    full = masks.max(axis=(1, 2)) > 0.99
    assert 0.35 < full.mean() < 0.65  # a half is expected
    areas = (masks > 0).mean(axis=(1, 2))
    assert areas.min() < 0.1
    assert areas.max() > 0.35
    rows = (masks.sum(axis=2) * np.arange(32)).sum(axis=1) / masks.sum(axis=(1, 2)) / 32
    assert rows.min() < 0.4  # eyes
    assert rows.max() > 0.65  # mouth


def test_either_the_source_or_the_target_is_changed(many):
    originals = np.tile(photographs(), (20, 1, 1, 1))
    unchanged = np.all(many[0] == originals, axis=(1, 2, 3)).mean()
    assert 0.35 < unchanged < 0.65


def test_pair_is_degraded_alike():
    degradation = kd.layers.RandomDegradation(
        blur=(1.0, 2.0), resize=None, jpeg=None, probability=1.0, value_range=(0, 255), seed=0
    )
    images, _, masks = call(photographs(), seed=1, degradation=degradation)
    plain, _, same_masks = call(photographs(), seed=1)
    np.testing.assert_array_equal(masks, same_masks)
    real, fake = halves(images)
    assert np.all(np.mean(np.abs(real - halves(plain)[0]), axis=(1, 2, 3)) > 1)
    # Further from the blended region than the blur reaches, real and fake stay equal.
    far = np.ones((8, 32, 28), bool)
    for image, y, x in np.argwhere(halves(masks)[1][..., 0] > 0):
        far[image, max(y - 14, 0) : y + 15, max(x - 14, 0) : x + 15] = False
    assert far.sum() > 100
    np.testing.assert_array_equal(fake[far], real[far])


def test_works_with_an_augmentation_of_keras():
    flip = keras.layers.RandomFlip("horizontal", seed=0)
    images, _, _ = call(photographs(), seed=1, degradation=flip)
    plain, _, _ = call(photographs(), seed=1)
    flipped = [np.array_equal(a, b[:, ::-1]) for a, b in zip(images, plain, strict=True)]
    kept = [np.array_equal(a, b) for a, b in zip(images, plain, strict=True)]
    assert any(flipped)
    assert any(kept)
    assert flipped[:8] == flipped[8:]


def test_masks_move_with_a_geometric_degradation():
    move = keras.layers.RandomTranslation(0.3, 0.3, fill_mode="constant", seed=0)
    images, _, masks = call(photographs(), seed=1, degradation=move)
    real, fake = halves(images)
    # Images are interpolated between pixels, masks are not.
    near = ndimage.maximum_filter(halves(masks)[1], (1, 3, 3, 1)) > 0
    assert np.any(fake != real, axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(np.where(near, real, fake), real)


def test_not_training_returns_the_images_labelled_real():
    images, labels, masks = call(photographs(), training=False)
    np.testing.assert_array_equal(images, photographs())
    np.testing.assert_array_equal(labels, [[0, 1]] * 8)
    assert masks.shape == (8, 32, 28, 1)
    assert not masks.any()


def test_seed_decides():
    first, same, other = (call(photographs(), seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert np.any(first != other)


def test_channels_first_is_the_same():
    images, _, masks = call(photographs(), seed=3)
    planes, _, mask_planes = call(
        photographs().transpose(0, 3, 1, 2), seed=3, data_format="channels_first"
    )
    np.testing.assert_allclose(planes.transpose(0, 2, 3, 1), images, atol=1)
    np.testing.assert_allclose(mask_planes.transpose(0, 2, 3, 1), masks, atol=1e-5)


def test_maps_a_dataset_and_fits():
    degradation = kd.layers.RandomDegradation(value_range=(0, 255), seed=0)
    layer = kd.layers.SelfBlendedImages(degradation, value_range=(0, 255), seed=0)
    dataset = tf.data.Dataset.from_tensor_slices(photographs().astype("uint8")).batch(4).map(layer)
    for images, labels in dataset:
        assert images.shape == (8, 32, 28, 3)
        np.testing.assert_array_equal(labels.numpy(), [[0, 1]] * 4 + [[1, 0]] * 4)
    model = keras.Sequential(
        [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation="softmax")]
    )
    model.compile("sgd", "categorical_crossentropy")
    history = model.fit(dataset, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_config_keeps_the_degradation():
    layer = kd.layers.SelfBlendedImages(kd.layers.RandomDegradation(blur=None), return_masks=True)
    copy = kd.layers.SelfBlendedImages.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert copy.degradation.blur is None


def test_refuses_single_images_and_wrong_degradations():
    with pytest.raises(ValueError, match="batch"):
        kd.layers.SelfBlendedImages()(photographs()[0])
    with pytest.raises(ValueError, match="`degradation` must be None"):
        kd.layers.SelfBlendedImages(degradation=keras.layers.ReLU())


@pytest.mark.parametrize(
    ("degradation", "arguments", "remedy"),
    [
        (
            kd.layers.RandomDegradation,
            {"value_range": (0, 255)},
            "RandomDegradation(value_range=(0.0, 255.0), ...)",
        ),
        (
            lambda: keras.layers.RandomBrightness(0.2),
            {},
            "RandomBrightness(value_range=(0.0, 1.0), ...)",
        ),
        (
            kd.layers.RandomJPEGCompression,
            {"data_format": "channels_first"},
            "RandomJPEGCompression(data_format='channels_first', ...)",
        ),
        (
            lambda: keras.layers.RandomFlip(data_format="channels_first"),
            {},
            "RandomFlip(data_format='channels_last', ...)",
        ),
        (
            kd.layers.RandomDegradation,
            {"dtype": "mixed_bfloat16"},
            "RandomDegradation(dtype='mixed_bfloat16', ...)",
        ),
    ],
)
def test_degradation_of_other_images_is_refused(degradation, arguments, remedy):
    with pytest.raises(ValueError, match="Write `" + re.escape(remedy)):
        kd.layers.SelfBlendedImages(degradation(), **arguments)


def test_degradation_in_the_range_of_the_images_keeps_them():
    degradation = kd.layers.RandomDegradation(
        blur=None, resize=None, jpeg=(90, 95), value_range=(0, 255), seed=0
    )
    images, _, _ = call(photographs(), seed=1, degradation=degradation)
    assert images.std(axis=(1, 2, 3)).min() > 20


def test_degradations_that_draw_anew_are_refused():
    """Beyond the mask the pair would differ."""
    jitter = keras.layers.RandomColorJitter(
        (0, 1), brightness_factor=0.4, contrast_factor=0.4, saturation_factor=0.2, hue_factor=0.1
    )
    with pytest.raises(ValueError, match="both images of a pair alike; RandomColor"):
        kd.layers.SelfBlendedImages(jitter, data_format="channels_last")


def test_a_rotation_is_that_of_both_images_and_of_the_mask():
    """Keras changes its matrix in place on torch."""
    rotation = keras.layers.RandomRotation(0.2, fill_mode="constant", seed=0)
    images, _, masks = call(photographs(), seed=1, degradation=rotation)
    real, fake = halves(images)
    outside = np.broadcast_to(halves(masks)[1] == 0, real.shape)
    # But for the border of the mask, which is interpolated.
    assert (np.abs(real - fake)[outside] < 0.01).mean() > 0.85
