import numpy as np
import pytest
from keras import ops

import keras_deepfake as kd

KB = np.array([[-1, 2, -1], [2, -4, 2], [-1, 2, -1]]) / 4
HALF = np.array([[-1, 2, -2], [2, -6, 8], [-2, 8, -12], [2, -6, 8], [-1, 2, -2]])
KV = np.hstack([HALF, HALF[:, 1::-1]]) / 12
HORIZONTAL = np.array([[1, -2, 1]]) / 2


def filtered(plane, kernel):
    """Cross-correlation with zeros beyond the border."""
    rows, columns = kernel.shape
    padded = np.pad(plane, ((rows // 2,) * 2, (columns // 2,) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape)
    return np.einsum("hwij,ij->hw", windows, kernel)


def reference(images, clip):
    """Of images on the 0-255 scale."""
    outputs = [
        filtered(image[..., channel].astype("float64"), kernel)
        for image in images
        for channel in range(images.shape[-1])
        for kernel in (KB, KV, HORIZONTAL)
    ]
    outputs = np.reshape(outputs, (len(images), -1, *images.shape[1:3])).transpose(0, 2, 3, 1)
    return outputs if clip is None else np.clip(outputs, -clip, clip)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3))


@pytest.mark.parametrize("clip", [3.0, 40.0, None])
def test_matches_numpy(images, clip):
    layer = kd.layers.SRMResidual(clip=clip)
    residuals = ops.convert_to_numpy(layer((images / 255).astype("float32")))
    np.testing.assert_allclose(residuals, reference(images, clip), rtol=1e-6, atol=1e-5)


def test_value_range_of_bytes(images):
    layer = kd.layers.SRMResidual(value_range=(0, 255), clip=50.0)
    residuals = ops.convert_to_numpy(layer(images.astype("uint8")))
    np.testing.assert_allclose(residuals, reference(images, 50.0), rtol=1e-6, atol=1e-5)


def test_flat_image_has_no_residual():
    residuals = ops.convert_to_numpy(kd.layers.SRMResidual()(np.full((1, 8, 8, 2), 0.3, "float32")))
    assert np.abs(residuals[:, 2:-2, 2:-2]).max() < 1e-4


@pytest.mark.parametrize("clip", [0.0, -1.0])
def test_bad_clip(clip):
    with pytest.raises(ValueError, match="`clip`"):
        kd.layers.SRMResidual(clip=clip)


@pytest.mark.parametrize("value_range", [(1, 0), (0, 0), 255, (0, 1, 2)])
def test_bad_value_range(value_range):
    with pytest.raises(ValueError, match=r"`value_range`.*\(0, 255\)"):
        kd.layers.SRMResidual(value_range=value_range)


def test_bad_data_format():
    with pytest.raises(ValueError, match="`data_format`"):
        kd.layers.SRMResidual(data_format="channel_last")
