import keras
import numpy as np
import pytest
from keras import ops

from keras_deepfake.layers import ConvBlock, ConvTransposeBlock

PAIRS = [(ConvBlock, keras.layers.Conv2D), (ConvTransposeBlock, keras.layers.Conv2DTranspose)]


@pytest.mark.parametrize(("block_class", "convolution_class"), PAIRS)
def test_block_is_convolution_and_activation(block_class, convolution_class):
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    block = block_class(5, activation="elu")
    outputs = block(x)
    convolution = convolution_class(5, 3, strides=2, padding="same")
    convolution.build(x.shape)
    convolution.set_weights(block.get_weights())
    expected = ops.convert_to_numpy(convolution(x))
    expected = np.where(expected > 0, expected, np.expm1(np.minimum(expected, 0)))
    np.testing.assert_allclose(ops.convert_to_numpy(outputs), expected, atol=1e-5)


@pytest.mark.parametrize(("block_class", "convolution_class"), PAIRS)
def test_layer_normalization_works_on_channels(block_class, convolution_class):
    x = np.random.default_rng(0).normal(0, 100, size=(2, 8, 8, 3)).astype("float32")
    outputs = ops.convert_to_numpy(block_class(6, activation=None, normalization="layer")(x))
    np.testing.assert_allclose(outputs.mean(axis=-1), 0, atol=1e-5)
    np.testing.assert_allclose(outputs.var(axis=-1), 1, atol=0.01)


def test_batch_normalization_follows_training_and_freezing():
    x = np.random.default_rng(0).normal(5, 2, size=(8, 8, 8, 3)).astype("float32")
    block = ConvBlock(4, activation=None, normalization="batch")
    trained = ops.convert_to_numpy(block(x, training=True))
    np.testing.assert_allclose(trained.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    before = [ops.convert_to_numpy(v) for v in block.non_trainable_weights]
    block.trainable = False
    block(x, training=True)
    after = [ops.convert_to_numpy(v) for v in block.normalization_layer.weights[2:]]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def test_no_bias_before_normalization():
    block = ConvBlock(4, normalization="batch")
    block.build((None, 8, 8, 3))
    assert not block.convolution.use_bias


def test_channel_axis_follows_the_data_format():
    block = ConvBlock(4, normalization="layer", data_format="channels_first")
    block.build((None, 3, 8, 8))
    assert block.normalization_layer.gamma.shape == (4,)
    assert block.compute_output_shape((None, 3, 8, 8)) == (None, 4, 4, 4)
