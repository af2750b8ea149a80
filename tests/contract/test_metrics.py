"""What every exported metric has to stand."""

import inspect
import json

import keras
import numpy as np
import pytest
from keras import ops

import keras_deepfake as kd

from .test_contract import ABSTRACT

# One value for every argument, none of them the default.
ARGUMENTS = {
    "EqualErrorRate": {"num_thresholds": 7, "class_id": 1},
    "ExpectedCalibrationError": {"num_bins": 4, "num_thresholds": 9, "class_id": 1},
}


def make(name):
    return getattr(kd.metrics, name)(name="mine", dtype="float64", **ARGUMENTS[name])


def value(metric):
    metric.update_state([0, 1, 1, 0], [0.2, 0.7, 0.4, 0.6])
    return float(ops.convert_to_numpy(metric.result()))


def test_every_export_is_walked():
    exported = {getattr(kd.metrics, name) for name in kd.metrics.__all__}
    assert {getattr(kd.metrics, name) for name in ARGUMENTS} == exported - ABSTRACT


@pytest.mark.parametrize("name", ARGUMENTS)
def test_configuration(name):
    metric = make(name)
    assert keras.saving.get_registered_name(type(metric)) == f"keras_deepfake>{name}"
    arguments = inspect.signature(type(metric).__init__).parameters
    config = metric.get_config()
    assert set(config) == set(arguments) - {"self"}
    for argument, parameter in arguments.items():
        if argument != "self":
            assert config[argument] != parameter.default
    serialized = json.dumps(keras.saving.serialize_keras_object(metric))
    copy = keras.saving.deserialize_keras_object(json.loads(serialized))
    assert type(copy) is type(metric)
    assert json.dumps(keras.saving.serialize_keras_object(copy)) == serialized
    assert value(copy) == value(metric)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_state_is_reset(name):
    metric = make(name)
    expected = value(metric)
    assert any(np.any(ops.convert_to_numpy(variable)) for variable in metric.variables)
    metric.reset_state()
    assert not any(np.any(ops.convert_to_numpy(variable)) for variable in metric.variables)
    assert value(metric) == expected
