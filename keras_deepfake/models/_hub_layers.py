"""Layers of KerasHub that save by themselves."""

import importlib
import inspect

import keras


def import_keras_hub():
    """Imports KerasHub, or says how to install it."""
    try:
        return importlib.import_module("keras_hub")
    except ModuleNotFoundError as error:
        if error.name != "keras_hub":
            raise
        raise ImportError(
            'This network is one of KerasHub: `pip install "keras-deepfake[hub]"`.'
        ) from error


@keras.saving.register_keras_serializable(package="keras_deepfake")
class KerasHubLayer(keras.layers.Layer):
    """A layer of KerasHub, with a configuration that makes it anew.

    KerasHub saves whole backbones. The configurations of some of its layers lack arguments of the
    constructor, and those of others have what the constructor refuses. Here the arguments are
    read from the attributes of the same names, which its layers keep.

    Args:
        layer: The layer.
        arguments: Dictionary, arguments of its `call` that are no tensors.
        **kwargs: Base layer arguments such as `name`.

    Call arguments:
        Those of the layer that are tensors.

    Raises:
        ValueError: If an argument of the layer's constructor is none that can be saved.
        ImportError: If a saved one is loaded and KerasHub is not installed.
    """

    def __init__(self, layer, arguments=None, **kwargs):
        # The layer inside casts what it wants to have cast.
        super().__init__(autocast=False, **kwargs)
        if isinstance(layer, dict):
            import_keras_hub()
            layer = keras.saving.deserialize_keras_object(layer)
        self.layer = layer
        self.arguments = dict(arguments or {})

    def build(self, input_shape):
        # Not within `call`, where what the layer computes of its sizes belongs to another graph.
        if not self.layer.built:
            self.layer.build(input_shape)

    def call(self, inputs, **kwargs):
        return self.layer(inputs, **kwargs, **self.arguments)

    def compute_output_spec(self, inputs, **kwargs):
        # Its own knows the number of tokens, which tracing `call` would leave open.
        return self.layer.compute_output_spec(inputs, **kwargs, **self.arguments)

    def get_config(self):
        config = super().get_config()
        config.update(layer=_saved(self.layer), arguments=self.arguments)
        return config


def _saved(layer):
    cls = type(layer)
    config = {
        "name": layer.name,
        "trainable": layer.trainable,
        "dtype": keras.dtype_policies.serialize(layer.dtype_policy),
    }
    for name, parameter in inspect.signature(cls.__init__).parameters.items():
        if name in ("self", *config) or parameter.kind is parameter.VAR_KEYWORD:
            continue
        value = getattr(layer, name, parameter.default)
        if not isinstance(value, (bool, int, float, str, tuple, list, type(None))):
            raise ValueError(
                f"KerasHub's {cls.__name__} cannot be saved by itself: its argument `{name}` is "
                f"{value!r}."
            )
        config[name] = value
    return {"module": cls.__module__, "class_name": cls.__name__, "config": config}
