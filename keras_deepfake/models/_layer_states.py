"""What a constructor call forgets of the layers inside a model: flags, quantization, LoRA."""

import keras


def layer_states(model):
    """Describes, for a configuration, what was done to the layers inside a model."""
    layers = list(_paths_and_layers(model))
    return {
        "frozen_layers": [path for path, layer in layers if not layer.trainable],
        "quantized_layers": {
            path: layer.quantization_mode for path, layer in layers if layer.quantization_mode
        },
        "lora_ranks": {path: layer.lora_rank for path, layer in layers if has_lora(layer)},
        "variable_flags": {
            path: [variable.trainable for variable in own_weights(layer)]
            for path, layer in layers
            if layer.trainable and _has_flags_of_its_own(layer)
        },
    }


def pop_layer_states(config):
    """Takes what `layer_states` put into a configuration out of it."""
    names = ("frozen_layers", "quantized_layers", "lora_ranks", "variable_flags")
    return {name: config.pop(name, {}) for name in names}


def restore_layer_states(model, states):
    """Does to the layers of a fresh model what was done to those of the described one."""
    frozen = set(states["frozen_layers"])
    # A layer passes its flag on to the layers inside it, so that outer ones go first.
    for path, layer in _paths_and_layers(model):
        if layer.trainable != (path not in frozen):
            layer.trainable = path not in frozen
        if path in states["quantized_layers"] and layer.quantization_mode is None:
            layer.quantize(states["quantized_layers"][path])
        if path in states["lora_ranks"] and not has_lora(layer):
            layer.enable_lora(states["lora_ranks"][path])
        if path in states["variable_flags"]:
            flags = states["variable_flags"][path]
            for variable, flag in zip(own_weights(layer), flags, strict=True):
                variable.trainable = flag


def has_lora(layer):
    """Whether low-rank adaptation is enabled on a layer."""
    return getattr(layer, "lora_enabled", False)


def lora_factors(layer):
    """The two factors that are trained in place of a kernel or of embeddings."""
    kind = "embeddings" if hasattr(layer, "lora_embeddings_a") else "kernel"
    return getattr(layer, f"lora_{kind}_a"), getattr(layer, f"lora_{kind}_b")


def restart_lora(model):
    """Gives LoRA factors that are all zero, as Keras loads them, a random first one again.

    Keras saves the product of the factors within the kernel. Of two zero factors none has a
    gradient. The product stays zero, and the model computes what it did.
    """
    for _, layer in _paths_and_layers(model):
        if has_lora(layer):
            first, second = lora_factors(layer)
            if not any(keras.ops.any(keras.ops.not_equal(x, 0)) for x in (first, second)):
                first.assign(keras.initializers.HeUniform()(first.shape, first.dtype))


def own_weights(layer):
    """The weights of a layer that are not those of layers inside it."""
    inner = {id(x) for child in inner_layers(layer) for x in child.weights}
    return [variable for variable in layer.weights if id(variable) not in inner]


def inner_layers(layer):
    """The layers directly inside a layer."""
    return layer._flatten_layers(include_self=False, recursive=False)


def _has_flags_of_its_own(layer):
    """Whether variables may be frozen one by one: a layer's flag is for all, and for inner ones."""
    return has_lora(layer) or (bool(inner_layers(layer)) and bool(own_weights(layer)))


def _paths_and_layers(layer, prefix=""):
    """Yields path and layer of everything inside a layer, outer layers first."""
    for inner in inner_layers(layer):
        path = f"{prefix}{inner.name}"
        yield path, inner
        yield from _paths_and_layers(inner, f"{path}/")
