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
