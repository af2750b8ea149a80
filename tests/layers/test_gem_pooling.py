import numpy as np
import pytest
from keras import ops

from keras_deepfake.layers import GeMPooling


@pytest.mark.parametrize("p", [1.0, 3.0, 6.5])
def test_matches_the_formula(p):
    x = np.random.default_rng(0).random((2, 4, 5, 3), "float32")
    expected = np.mean(x.astype("float64") ** p, axis=(1, 2)) ** (1 / p)
    np.testing.assert_allclose(ops.convert_to_numpy(GeMPooling(p)(x)), expected, rtol=1e-5)


def test_channels_first():
    x = np.random.default_rng(0).random((2, 4, 5, 3), "float32")
    last = ops.convert_to_numpy(GeMPooling()(x))
    first = GeMPooling(data_format="channels_first")(x.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(ops.convert_to_numpy(first), last, rtol=1e-6)


def test_half_precision_does_not_overflow():
    x = np.full((1, 4, 4, 1), 60.0, "float16")  # 60³ is above the largest float16
    outputs = ops.convert_to_numpy(GeMPooling(dtype="float16")(x))
    assert outputs.dtype == "float16"
    np.testing.assert_allclose(outputs, 60.0, rtol=1e-3)


def test_an_exponent_that_training_brought_to_zero_has_a_limit():
    """The geometric mean, to which powers tend as their exponent tends to 0."""
    layer = GeMPooling(epsilon=0.01)
    maps = np.array([1.0, 2.0, 4.0, 8.0], "float32").reshape(1, 2, 2, 1)
    layer(maps)
    for p in (0.0, -3.0):
        layer.p.assign(ops.full(layer.p.shape, p))
        pooled = ops.convert_to_numpy(layer(maps))
        np.testing.assert_allclose(pooled, [[64**0.25]], rtol=0.02)


def test_large_values_do_not_overflow():
    maps = np.full((1, 4, 4, 2), 3e4, "float32")
    np.testing.assert_allclose(ops.convert_to_numpy(GeMPooling(10.0)(maps)), 3e4, rtol=1e-5)
