import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_deepfake as kd


class Scaling(kd.layers.RandomImageLayer):
    def draw_transformation(self, batch_size, seed):
        return self.draw_uniform((batch_size, 1, 1, 1), 0.0, 1.0, seed)

    def transform_planes(self, planes, transformation):
        return planes * transformation


def test_private_names_of_keras():
    base = kd.layers.RandomImageLayer.__base__
    assert base.__name__ == "BaseImagePreprocessingLayer", (
        "`RandomImageLayer` takes the base of Keras's augmentations from "
        f"`keras.layers.RandomGrayscale`, whose base is now {base.__name__}."
    )
    for name in ("_USE_BASE_FACTOR", "_get_seed_generator", "get_random_transformation"):
        assert hasattr(base, name), f"Keras moved `{base.__name__}.{name}`."
    assert keras.layers.RandomFlip().backend.name == keras.backend.backend(), (
        "Keras moved `backend`, with which its augmentations compute on TensorFlow in tf.data."
    )


@pytest.mark.parametrize("value_range", [(0, 1), (0, 255), (-1, 1)])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_subclass_sees_planes_of_8_bits_and_decides_by_its_seed(value_range, data_format):
    low, high = value_range
    shape = (3, 4, 5, 3) if data_format == "channels_last" else (3, 3, 4, 5)
    images = np.full(shape, high, "float32")
    layer = Scaling(value_range=value_range, seed=1, data_format=data_format)
    outputs = ops.convert_to_numpy(layer(images))
    factors = (outputs[:, 0, 0, 0] - low) / (high - low)
    assert len(np.unique(factors)) == 3
    expected = low + (high - low) * factors[:, None, None, None] * np.ones(shape)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    copy = Scaling.from_config(layer.get_config())
    np.testing.assert_array_equal(ops.convert_to_numpy(copy(images)), outputs)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(images, training=False)), images)


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_integers_are_no_values_from_0_to_1(dtype):
    images = np.full((1, 4, 5, 3), 200, dtype)
    with pytest.raises(ValueError, match=rf"images of {dtype}, .*set `value_range=\(0, 255\)`"):
        Scaling()(images)
    assert ops.max(Scaling(value_range=(0, 255))(images)) <= 200


def test_subclass_maps_a_dataset():
    images = np.ones((4, 4, 5, 3), "float32")
    dataset = tf.data.Dataset.from_tensors(images).map(Scaling(seed=1))
    (outputs,) = dataset
    assert len(np.unique(outputs.numpy())) == 4


def test_subclass_without_its_methods_says_which():
    class Empty(kd.layers.RandomImageLayer):
        pass

    with pytest.raises(NotImplementedError, match="`Empty` must define `draw_transformation"):
        Empty()(np.zeros((1, 4, 4, 3), "float32"))
