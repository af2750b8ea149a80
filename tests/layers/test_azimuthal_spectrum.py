import math

import numpy as np
import pytest
from keras import ops

import keras_deepfake as kd
from keras_deepfake.layers.azimuthal_spectrum import _radius


def reference(images, window, value_range=(0, 1)):
    """Shifted spectra, averaged pixel by pixel."""
    curves = []
    for image in images:
        image = (image.astype("float64") - value_range[0]) / (value_range[1] - value_range[0])
        grey = image @ [0.299, 0.587, 0.114] if image.shape[-1] == 3 else image[..., 0]
        if window:
            grey = grey * np.hanning(len(grey))[:, None] * np.hanning(grey.shape[1])
        spectrum = np.log(np.abs(np.fft.fftshift(np.fft.fft2(grey))) + 1e-8)
        rings = {}
        short = min(grey.shape)
        for row in range(grey.shape[0]):
            for column in range(grey.shape[1]):
                y = (row - grey.shape[0] // 2) / grey.shape[0] * short
                x = (column - grey.shape[1] // 2) / grey.shape[1] * short
                radius = int(np.floor(round(np.hypot(y, x), 9)))
                rings.setdefault(radius, []).append(spectrum[row, column])
        curve = np.array([np.mean(rings[radius]) for radius in sorted(rings)])
        curves.append(curve / curve[0])
    return np.array(curves)


@pytest.mark.parametrize("window", ["hann", None])
@pytest.mark.parametrize("shape", [(16, 16, 3), (15, 15, 1), (12, 20, 3)])
def test_matches_numpy(window, shape):
    images = np.random.default_rng(0).random((2, *shape), "float32")
    layer = kd.layers.AzimuthalSpectrum(window=window)
    curves = ops.convert_to_numpy(layer(images))
    np.testing.assert_allclose(curves, reference(images, window), atol=1e-5)
    assert layer.compute_output_shape((None, *shape)) == (None, curves.shape[1])


def test_value_range():
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype("float32")
    layer = kd.layers.AzimuthalSpectrum(value_range=(0, 255))
    expected = reference(images, "hann", (0, 255))
    np.testing.assert_allclose(ops.convert_to_numpy(layer(images)), expected, atol=1e-5)


def test_a_wave_raises_its_own_frequency():
    random = np.random.default_rng(0)
    noise = 1e-3 * random.random((1, 32, 32, 1))
    wave = 0.4 * np.cos(2 * np.pi * 5 * np.arange(32) / 32)
    images = (0.5 + noise + wave[:, None, None]).astype("float32")
    with_wave, without = (
        ops.convert_to_numpy(kd.layers.AzimuthalSpectrum(window=None)(batch))[0]
        for batch in (images, (0.5 + noise).astype("float32"))
    )
    difference = with_wave - without
    assert difference[5] > 0.01
    assert np.abs(np.delete(difference, 5)).max() < 0.001


def test_num_bins_resamples_linearly():
    images = np.random.default_rng(0).random((2, 16, 16, 3), "float32")
    native = reference(images, "hann")
    curves = ops.convert_to_numpy(kd.layers.AzimuthalSpectrum(num_bins=7)(images))
    positions = np.linspace(0, native.shape[1] - 1, 7)
    expected = [np.interp(positions, np.arange(native.shape[1]), curve) for curve in native]
    np.testing.assert_allclose(curves, expected, atol=1e-5)


def test_black_image_is_finite():
    curves = ops.convert_to_numpy(kd.layers.AzimuthalSpectrum()(np.zeros((1, 8, 8, 3), "float32")))
    np.testing.assert_allclose(curves, 1, atol=1e-6)


@pytest.mark.parametrize("shape", [(None, None, 3), (8, 8, 2), (1, 8, 3)])
def test_bad_input_shape(shape):
    with pytest.raises(ValueError, match="known sides of at least 2"):
        kd.layers.AzimuthalSpectrum().build((None, *shape))


@pytest.mark.once
def test_whole_distances_do_not_fall_below_themselves():
    """⌊√(u² + v²)⌋ in whole numbers, of frequencies u / height and v / width."""
    for height, width in ((5, 35), (10, 70), (30, 40), (64, 48)):
        rows = np.fft.fftfreq(height, 1 / height).astype(int)[:, None] * width
        columns = np.fft.fftfreq(width, 1 / width).astype(int) * height
        squares = (rows**2 + columns**2) * min(height, width) ** 2
        exact = [math.isqrt(int(square)) // (height * width) for square in squares.ravel()]
        np.testing.assert_array_equal(_radius(height, width).ravel(), exact)
