import keras
import numpy as np
import pytest
from keras import ops

import keras_deepfake as kd


def built(kernel, **arguments):
    rows, columns, channels, filters = kernel.shape
    layer = kd.layers.ConstrainedConv2D(filters, (rows, columns), **arguments)
    layer.build((None, 9, 9, channels))
    layer.kernel.assign(kernel)
    return layer


def reference(kernel):
    """Bayar and Stamm's projection, slice by slice."""
    result = np.zeros(kernel.shape)
    rows, columns, channels, filters = kernel.shape
    for channel in range(channels):
        for out in range(filters):
            weights = kernel[:, :, channel, out].astype("float64")
            weights[rows // 2, columns // 2] = 0
            weights /= weights.sum()
            weights[rows // 2, columns // 2] = -1
            result[:, :, channel, out] = weights
    return result


@pytest.fixture
def kernel():
    return np.random.default_rng(0).uniform(0.1, 1, (5, 3, 2, 4)).astype("float32")


def test_constrained_kernel_matches_numpy(kernel):
    np.testing.assert_allclose(
        ops.convert_to_numpy(built(kernel).constrained_kernel()), reference(kernel), atol=1e-6
    )


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [1, 2])
def test_output_is_convolution_with_constrained_kernel(kernel, padding, strides):
    images = np.random.default_rng(1).random((2, 9, 9, 2), "float32")
    plain = keras.layers.Conv2D(4, (5, 3), strides, padding, use_bias=False)
    plain.build(images.shape)
    plain.kernel.assign(reference(kernel))
    np.testing.assert_allclose(
        ops.convert_to_numpy(built(kernel, padding=padding, strides=strides)(images)),
        ops.convert_to_numpy(plain(images)),
        atol=1e-5,
    )


def test_flat_image_answers_zero(kernel):
    outputs = ops.convert_to_numpy(built(kernel)(np.full((1, 9, 9, 2), 0.7, "float32")))
    np.testing.assert_allclose(outputs, 0, atol=1e-6)


@pytest.mark.parametrize("total", [0.0, 1e-6, -1e-6])
def test_small_sum_is_guarded(total):
    kernel = np.zeros((3, 3, 1, 1), "float32")
    kernel[0, 0], kernel[0, 1] = 0.5, -0.5
    kernel[2, 2] = total
    constrained = ops.convert_to_numpy(built(kernel).constrained_kernel())[..., 0, 0]
    assert constrained[1, 1] == -1
    np.testing.assert_allclose(constrained[0, 0], np.copysign(5000, total), rtol=1e-5)


def test_default_initializer_keeps_filters_small():
    layer = kd.layers.ConstrainedConv2D(64)
    layer.build((None, 8, 8, 3))
    assert np.abs(ops.convert_to_numpy(layer.constrained_kernel())).max() <= 1


def test_constraint_holds_after_training():
    model = keras.Sequential([keras.Input((9, 9, 2)), kd.layers.ConstrainedConv2D(4, 3)])
    layer = model.layers[0]
    before = ops.convert_to_numpy(layer.kernel).copy()
    model.compile(keras.optimizers.SGD(10.0), "mse")
    x = np.random.default_rng(0).random((4, 9, 9, 2), "float32")
    model.fit(x, np.ones((4, 7, 7, 4)), verbose=0)
    after = ops.convert_to_numpy(layer.kernel)
    assert not np.allclose(before, after)
    constrained = ops.convert_to_numpy(layer.constrained_kernel())
    np.testing.assert_allclose(constrained.sum(axis=(0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(constrained[1, 1], -1)


def test_regularizer_acts_on_free_weights(kernel):
    layer = built(kernel, kernel_regularizer=keras.regularizers.L2(0.1))
    layer(np.zeros((1, 9, 9, 2), "float32"))
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer.losses[0]), 0.1 * np.sum(kernel**2), rtol=1e-5
    )
