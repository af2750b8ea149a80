import numpy as np
import pytest

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
