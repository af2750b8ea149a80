"""What the models of the library have in common."""

import keras


class DetectionModel(keras.Model):
    """Functional model with default compile settings that saves and reloads exactly.

    Subclasses build their graph in `__init__` and implement `default_compile_arguments`.
    `compile()` takes from there what the caller leaves at `"auto"`. The configuration also
    records which inner layers are frozen or quantized, at any depth: a constructor call alone
    would bring them back trainable and in floating point.
    """

    def default_compile_arguments(self):
        """The `optimizer`, `loss` and `metrics` that `compile()` falls back on."""
        raise NotImplementedError

    def compile(self, optimizer="auto", loss="auto", *, metrics="auto", **kwargs):
        """Configures the model for training, as `keras.Model.compile` does.

        Args:
            optimizer: As in Keras; `"auto"` for the default of the model.
            loss: As in Keras; `"auto"` for the default of the model.
            metrics: As in Keras; `"auto"` for the default of the model.
            **kwargs: Everything else that `keras.Model.compile` accepts.
        """
        given = {"optimizer": optimizer, "loss": loss, "metrics": metrics}
        defaults = self.default_compile_arguments()
        arguments = {
            name: defaults[name] if isinstance(value, str) and value == "auto" else value
            for name, value in given.items()
        }
        super().compile(**arguments, **kwargs)

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def get_config(self):
        return {
            "name": self.name,
            "trainable": self.trainable,
            "frozen_layers": [path for path, layer in _inner_layers(self) if not layer.trainable],
            "quantized_layers": {
                path: layer.quantization_mode
                for path, layer in _inner_layers(self)
                if layer.quantization_mode
            },
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        frozen_layers = set(config.pop("frozen_layers", ()))
        quantized_layers = config.pop("quantized_layers", {})
        trainable = config.pop("trainable", True)
        model = cls(**config)
        model.trainable = trainable
        # A layer passes its flag on to the layers inside it, so that outer ones go first.
        for path, layer in _inner_layers(model):
            if layer.trainable != (path not in frozen_layers):
                layer.trainable = path not in frozen_layers
            if path in quantized_layers and layer.quantization_mode is None:
                layer.quantize(quantized_layers[path])
        return model


def _inner_layers(layer, prefix=""):
    """Yields path and layer of everything inside a layer, outer layers first."""
    for inner in layer._flatten_layers(include_self=False, recursive=False):
        path = f"{prefix}{inner.name}"
        yield path, inner
        yield from _inner_layers(inner, f"{path}/")
