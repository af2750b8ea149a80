import numpy as np
import pytest
from keras import ops

import keras_deepfake as kd


@pytest.mark.parametrize(
    ("rgb", "ycbcr"),
    [
        ((1, 1, 1), (1, 0, 0)),
        ((1, 0, 0), (0.299, -0.168736, 0.5)),
        ((0, 1, 0), (0.587, -0.331264, -0.418688)),
        ((0, 0, 1), (0.114, 0.5, -0.081312)),
    ],
)
def test_published_coefficients(rgb, ycbcr):
    outputs = kd.layers.RGBToYCbCr()(np.reshape(np.float32(rgb), (1, 1, 1, 3)))
    np.testing.assert_allclose(ops.convert_to_numpy(outputs).reshape(3), ycbcr, atol=1e-6)


def test_needs_three_channels():
    with pytest.raises(ValueError, match="3 channels"):
        kd.layers.RGBToYCbCr()(np.zeros((1, 4, 4, 1), "float32"))
