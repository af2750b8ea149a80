"""Copies of models."""

import keras
import numpy as np

from keras_deepfake.models._name_scopes import own_name_scope


def copy_model(model, dtype=None, name=None):
    """Copies a model: configuration, trainable flags and weights, nothing shared.

    The variables of the copy have paths of their own.

    Args:
        model: A built Keras model.
        dtype: Dtype policy that every layer of the copy gets, at any depth; `None` keeps
            each layer's own.
        name: Name of the copy; `None` keeps that of the model.

    Returns:
        The copy, not compiled.
    """
    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    if dtype is not None:
        policy = keras.dtype_policies.get(dtype)
        config = _with_dtype(config, keras.dtype_policies.serialize(policy))
    if name is not None:
        config["config"]["name"] = name
    # What the model is made of is there, registered or not.
    classes = [type(layer) for layer in model._flatten_layers()]
    own = {cls.__name__: cls for cls in classes if not cls.__module__.startswith("keras.")}
    with own_name_scope(model.name):
        copy = keras.saving.deserialize_keras_object(config, own, safe_mode=False)
    # As saving does it: some layers compute with what they derive from their variables.
    for layer, twin in paired_layers(model, copy):
        variables = {}
        layer.save_own_variables(variables)
        # Arrays of their own: a training step on JAX deletes those that it is given.
        twin.load_own_variables(
            {key: np.array(keras.ops.convert_to_numpy(value)) for key, value in variables.items()}
        )
    return copy


def paired_layers(model, copy):
    """Yields every layer of a model, itself included, with its twin in a copy."""
    yield model, copy
    # One level at a time: a layer that two inner models share is one here and two in the copy.
    inner = [x._flatten_layers(include_self=False, recursive=False) for x in (model, copy)]
    for pair in zip(*inner, strict=True):
        yield from paired_layers(*pair)


def _with_dtype(config, policy):
    if isinstance(config, dict):
        # Only the policies of layers are dictionaries; tensors state their dtype by name.
        return {
            key: policy
            if key == "dtype" and isinstance(value, dict)
            else _with_dtype(value, policy)
            for key, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        return type(config)(_with_dtype(value, policy) for value in config)
    return config
