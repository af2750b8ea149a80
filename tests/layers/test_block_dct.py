import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_deepfake as kd


def reference(images, size, epsilon):
    """Log magnitudes of y = C x C' of each block, of images on the 0-255 scale."""
    k, j = np.arange(size)[:, None], np.arange(size)
    cosines = np.sqrt(2 / size) * np.cos(np.pi * (2 * j + 1) * k / (2 * size))
    cosines[0] = np.sqrt(1 / size)
    batch, height, width, channels = images.shape
    outputs = np.zeros((batch, height // size, width // size, channels, size, size))
    for index in np.ndindex(outputs.shape[:4]):
        image, row, column, channel = index
        block = images[image, row * size :, column * size :, channel][:size, :size]
        outputs[index] = cosines @ block.astype("float64") @ cosines.T
    return np.log(np.abs(outputs) + epsilon).reshape(*outputs.shape[:3], -1)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 17, 26, 3)).astype("float32")


@pytest.mark.parametrize(("size", "epsilon"), [(8, 1.0), (4, 0.5)])
def test_matches_numpy(images, size, epsilon):
    layer = kd.layers.BlockDCT(size, epsilon)
    outputs = ops.convert_to_numpy(layer(images / 255))
    np.testing.assert_allclose(outputs, reference(images, size, epsilon), rtol=1e-5, atol=3e-5)
    assert layer.compute_output_shape((None, 17, 26, 3)) == (None, *outputs.shape[1:])


def test_published_coefficients():
    # A JPEG encoder's transform of a block of 8-bit white: 8 times the value, and nothing else.
    outputs = kd.layers.BlockDCT(value_range=(0, 255))(np.full((1, 8, 8, 1), 255, "uint8"))
    expected = np.zeros(64)
    expected[0] = np.log(8 * 255 + 1)
    np.testing.assert_allclose(ops.convert_to_numpy(outputs).reshape(64), expected, atol=1e-4)


@pytest.mark.parametrize("data", ["array", "batches", "dataset"])
def test_adapt_standardizes_each_coefficient(images, data):
    logs = reference(images, 8, 1.0).reshape(-1, 192)
    layer = kd.layers.BlockDCT()
    scaled = images / 255
    layer.adapt(
        {
            "array": scaled,
            "batches": [scaled[:2], scaled[2:]],
            "dataset": tf.data.Dataset.from_tensor_slices((scaled, [0, 1, 0])).batch(2),
        }[data]
    )
    np.testing.assert_allclose(ops.convert_to_numpy(layer.mean), logs.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer.variance), logs.var(axis=0), rtol=1e-4, atol=1e-5
    )
    outputs = ops.convert_to_numpy(layer(scaled)).reshape(-1, 192)
    np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(outputs.std(axis=0), 1, atol=1e-4)


def test_adapt_channels_first(images):
    layer = kd.layers.BlockDCT(data_format="channels_first")
    layer.adapt(images.transpose(0, 3, 1, 2) / 255)
    logs = reference(images, 8, 1.0).reshape(-1, 192)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.mean), logs.mean(axis=0), atol=1e-5)


def test_adapted_layer_survives_saving(images, tmp_path):
    layer = kd.layers.BlockDCT()
    layer.adapt(images / 255)
    model = keras.Sequential([keras.Input((None, None, 3)), layer])
    expected = ops.convert_to_numpy(model(images / 255))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(ops.convert_to_numpy(loaded(images / 255)), expected, atol=1e-5)


def test_coefficient_that_never_varies_stays_finite():
    layer = kd.layers.BlockDCT()
    layer.adapt(np.full((2, 8, 8, 1), 0.5, "float32"))
    outputs = ops.convert_to_numpy(layer(np.full((1, 8, 8, 1), 0.5, "float32")))
    np.testing.assert_allclose(outputs, 0, atol=0.2)


def test_adapt_to_nothing():
    with pytest.raises(ValueError, match="at least one image"):
        kd.layers.BlockDCT().adapt([])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.full((2, 8, 8, 3), np.nan, "float32"), "finite pixels"),
        (np.full((2, 8, 8, 3), -np.inf, "float32"), "finite pixels"),
        (np.full((2, 8, 8, 3), 200, "uint8"), r"`value_range`, \(0.0, 1.0\); got .* to 200"),
        (np.zeros((8, 8, 3), "float32"), "4-D"),
        (np.zeros((2, 8, 8, 1), "float32"), "3 channels"),
        ("photographs", "`data` must be an array"),
        (5, "`data` must be an array"),
        (None, "`data` must be an array"),
    ],
)
def test_adapt_refuses_wrong_images_and_stays_as_it_was(images, data, message):
    layer = kd.layers.BlockDCT()
    layer.adapt(images / 255)
    expected = layer.get_weights()
    # Behind a good batch, which must not count either.
    later = [images / 255, data] if isinstance(data, np.ndarray) else data
    with pytest.raises(ValueError, match=message):
        layer.adapt(later)
    for old, new in zip(expected, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_adapt_takes_chroma(images):
    layer = kd.layers.BlockDCT()
    layer.adapt(kd.layers.RGBToYCbCr()(images / 255))
    assert np.isfinite(layer.get_weights()[0]).all()


def test_images_smaller_than_a_block_are_refused():
    with pytest.raises(ValueError, match="needs images of at least one block of 8 x 8 pixels"):
        kd.layers.BlockDCT()(np.zeros((1, 4, 40, 3), "float32"))
