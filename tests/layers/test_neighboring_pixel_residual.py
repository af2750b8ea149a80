import numpy as np
import pytest
from keras import ops

import keras_deepfake as kd


@pytest.mark.parametrize("height", [6, 7])
@pytest.mark.parametrize("width", [4, 5])
def test_matches_numpy(height, width):
    images = np.random.default_rng(0).random((2, height, width, 3), "float32")
    even = images[:, : height // 2 * 2, : width // 2 * 2]
    expected = np.zeros_like(even)
    for row in range(even.shape[1]):
        for column in range(even.shape[2]):
            cell = even[:, row - row % 2, column - column % 2]
            expected[:, row, column] = even[:, row, column] - cell
    layer = kd.layers.NeighboringPixelResidual()
    np.testing.assert_allclose(ops.convert_to_numpy(layer(images)), expected, atol=1e-6)
    assert layer.compute_output_shape((None, height, width, 3)) == (None, *expected.shape[1:])


def test_image_upsampled_by_two_has_no_residual():
    small = np.random.default_rng(0).random((1, 4, 4, 3), "float32")
    images = small.repeat(2, axis=1).repeat(2, axis=2)
    assert not ops.convert_to_numpy(kd.layers.NeighboringPixelResidual()(images)).any()
