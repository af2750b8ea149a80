import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from PIL import Image

import keras_deepfake as kd

ALWAYS = {"probability": 1.0, "value_range": (0, 255)}


def images(batch=60, height=24, width=30, seed=0):
    random = np.random.default_rng(seed)
    smooth = random.integers(40, 216, (batch, height // 3, width // 3, 3)).repeat(3, 1).repeat(3, 2)
    return np.clip(smooth + random.normal(0, 8, smooth.shape), 0, 255).round().astype("float32")


def degrade(inputs, **arguments):
    layer = kd.layers.RandomDegradation(**arguments)
    return ops.convert_to_numpy(layer(inputs, training=True))


def gaussian_blur(image, sigma):
    """Of `(height, width, 3)`, the kernel renormalised at the borders."""
    for axis in (0, 1):
        index = np.arange(image.shape[axis])
        weights = np.exp(-0.5 * ((index[:, None] - index) / sigma) ** 2)
        weights /= weights.sum(axis=1, keepdims=True)
        image = np.moveaxis(np.tensordot(weights, image, (1, axis)), 0, axis)
    return image


def resize_and_back(image, scale):
    height, width = image.shape[:2]
    small = round(width * scale), round(height * scale)
    planes = [
        Image.fromarray(plane).resize(small, Image.BILINEAR).resize((width, height), Image.BILINEAR)
        for plane in np.moveaxis(image, -1, 0).astype("float32")
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def test_blur_alone():
    x = images()
    blurred = degrade(x, blur=(1.3, 1.3), resize=None, jpeg=None, **ALWAYS)
    np.testing.assert_allclose(blurred[0], gaussian_blur(x[0], 1.3).round(), atol=1)
    assert np.mean(np.abs(blurred[0] - gaussian_blur(x[0], 1.3))) < 0.3


@pytest.mark.parametrize(
    "scale",
    [pytest.param(0.3, marks=pytest.mark.once), 0.5, pytest.param(0.77, marks=pytest.mark.once)],
)
def test_resizing_alone_agrees_with_pillow(scale):
    x = images()
    resized = degrade(x, blur=None, resize=(scale, scale), jpeg=None, **ALWAYS)
    np.testing.assert_allclose(resized[0], resize_and_back(x[0], scale), atol=0.51)


def test_jpeg_alone():
    x = images()
    compression = kd.layers.RandomJPEGCompression(35, value_range=(0, 255))
    expected = ops.convert_to_numpy(compression(x, training=True))
    compressed = degrade(x, blur=None, resize=None, jpeg=(35, 35), **ALWAYS)
    np.testing.assert_array_equal(compressed, expected)


@pytest.mark.once
def test_every_order_happens():
    x = images()
    compression = kd.layers.RandomJPEGCompression(60, value_range=(0, 255))
    steps = {
        "blur": lambda image: gaussian_blur(image, 0.8),
        "resize": lambda image: resize_and_back(image, 0.4),
        "jpeg": lambda image: ops.convert_to_numpy(
            compression(image[None].astype("float32"), training=True)
        )[0],
    }
    orders = [
        (first, second, third)
        for first in steps
        for second in steps
        for third in steps
        if len({first, second, third}) == 3
    ]
    expected = []
    for order in orders:
        image = x[0]
        for step in order:
            image = steps[step](image)
        expected.append(image)
    outputs = degrade(
        np.repeat(x[:1], 60, 0), blur=(0.8, 0.8), resize=(0.4, 0.4), jpeg=(60, 60), seed=3, **ALWAYS
    )
    errors = np.array([[np.abs(out - image).mean() for image in expected] for out in outputs])
    assert set(errors.argmin(axis=1)) == set(range(6))
    assert errors.min(axis=1).max() < 0.6


def test_steps_and_strengths_differ_between_images():
    x = np.repeat(images()[:1], 60, 0)
    outputs = degrade(x, probability=0.5, value_range=(0, 255), seed=0)
    untouched = np.all(outputs == x, axis=(1, 2, 3)).mean()
    assert 0.02 < untouched < 0.3  # an eighth is expected
    assert len(np.unique(outputs.reshape(60, -1), axis=0)) > 40


def test_probability_zero_and_inference_change_nothing():
    x = images()
    np.testing.assert_array_equal(degrade(x, probability=0.0, value_range=(0, 255)), x)
    layer = kd.layers.RandomDegradation()
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    np.testing.assert_array_equal(model.predict(x / 255, verbose=0), x / 255)


def test_channels_first_is_the_same():
    x = images()
    expected = degrade(x, seed=5, value_range=(0, 255))
    planes = degrade(
        x.transpose(0, 3, 1, 2), seed=5, value_range=(0, 255), data_format="channels_first"
    )
    np.testing.assert_allclose(planes.transpose(0, 2, 3, 1), expected, atol=1e-4)


def test_maps_a_dataset_of_varying_sizes():
    batches = [images(3), images(2, 12, 18)]
    spec = tf.TensorSpec((None, None, None, 3), tf.float32)
    dataset = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec)
    layer = kd.layers.RandomDegradation(seed=0, **ALWAYS)
    for x, y in zip(batches, dataset.map(layer), strict=True):
        assert y.shape == x.shape
        assert 0 < np.abs(y.numpy() - x).mean() < 60
