"""What every exported layer has to stand beside what models do."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

import keras_deepfake as kd
from tests.compiled_calls import compiled

from .cases import CASES
from .test_contract import first_output, inputs_of

LAYERS = [case for case in CASES if not issubclass(case.component, keras.Model)]


def each_layer(function):
    return pytest.mark.parametrize("case", LAYERS, ids=str)(function)


def is_random(case):
    return "seed" in inspect.signature(case.component.__init__).parameters


def call_of(case, layer):
    """A function of images: the outputs in training, where that differs, as one array."""
    call = compiled(layer, **({"training": True} if is_random(case) else {}))
    return lambda images: ops.convert_to_numpy(ops.cast(first_output(call(images)), "float32"))


@each_layer
def test_image_of_nan_gives_no_finite_output(case):
    layer = case.make()
    if keras.backend.backend() == "tensorflow" and isinstance(layer, kd.layers.ConvBlock):
        # TensorFlow's ReLU makes 0 of NaN, on some processors.
        layer.activation = keras.activations.linear
    images = inputs_of(case)
    # Its first row, plane or token.
    images[1][0] = np.nan
    outputs = call_of(case, layer)(images)
    # Self-blending gives a real and a fake of each image.
    finite = np.isfinite(outputs).reshape(-1, 3, outputs[0].size).all(axis=2)
    assert not finite[:, 1].any()
    if not isinstance(getattr(layer, "normalization_layer", None), keras.layers.BatchNormalization):
        assert finite[:, [0, 2]].all()


@pytest.mark.parametrize("case", filter(is_random, LAYERS), ids=str)
def test_seed_decides_in_training(case):
    layer, same = case.make(), case.make()
    assert layer.get_config()["seed"] is not None
    copy = type(layer).from_config(layer.get_config())
    images = inputs_of(case)
    call = call_of(case, layer)
    first, second = call(images), call(images)
    assert np.any(first != second)
    for other in (same, copy):
        call = call_of(case, other)
        np.testing.assert_array_equal(call(images), first)
        np.testing.assert_array_equal(call(images), second)
