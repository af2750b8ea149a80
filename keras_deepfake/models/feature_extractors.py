"""Encoders that are cut out of larger networks."""

import difflib
import math

import keras

from keras_deepfake.layers import MomentPooling
from keras_deepfake.models._encoders import data_format_of
from keras_deepfake.models.model_copy import copy_model


def feature_extractor(network, until=None, name=None):
    """Makes an encoder that ends at one layer of a network, or at several.

    Layers in the middle of a network often tell fakes better than the last ones, which describe
    what an image shows; those of several depths together tell them better still. Of several
    layers the maps are pooled to the mean and the deviation of each channel, tokens to those of
    the image's patches and the class token, if there is one, and all is concatenated.

    Args:
        network: A Keras model that is built as a graph from one input.
        until: Name of the layer to end at, or several. `None` takes the network whole.
        name: Name of the encoder; by default that of the network.

    Returns:
        A functional Keras model, sharing the layers of the network, that ends at what the layer
        gives, or for several layers in a vector. Of a network that holds networks it has copies
        of all their layers.

    Raises:
        ValueError: If the network is not built as a graph, has no such layer, or a layer gives
            neither a map, tokens nor a vector.

    Example:
        ```python
        inputs = keras.Input((32, 32, 3))
        x = keras.layers.Conv2D(4, 3, name="conv_1")(inputs)
        network = keras.Model(inputs, keras.layers.Conv2D(8, 3, name="conv_2")(x))
        encoder = kd.models.feature_extractor(network, ["conv_1", "conv_2"])
        encoder.output_shape  # (None, 24): mean and deviation of 4 and 8 channels
        ```
    """
    if not isinstance(network, keras.Model) or len(getattr(network, "inputs", None) or ()) != 1:
        raise ValueError(
            f"`network` must be a Keras model that is built as a graph of one input; got "
            f"{network!r}."
        )
    name = network.name if name is None else name
    if until is None:
        return keras.Model(network.inputs[0], network.outputs[0], name=name)
    names = [until] if isinstance(until, str) else until
    if not isinstance(names, (tuple, list)) or not names:
        raise ValueError(f"`until` must be the name of a layer, or several; got {until!r}.")
    names = [_innermost(network, layer) for layer in names]
    network = without_networks(network)
    layers = [find_layer(network, layer) for layer in names]
    if len(layers) == 1:
        return keras.Model(network.inputs[0], layers[0].output, name=name)
    features = concatenated([pooled(layer, network) for layer in layers], network)
    return keras.Model(network.inputs[0], features, name=name)


def without_networks(network):
    """The network, or, where layers of it are networks, a copy that has their layers instead."""
    if not any(map(_is_network, network.layers)):
        return network

    def call(layer, *args, **kwargs):
        return (layer.call if _is_network(layer) else layer)(*args, **kwargs)

    # Sequential ones are not cloned in this way.
    graph = keras.Model(network.inputs[0], network.outputs[0], name=network.name)
    graph = keras.models.clone_model(graph, clone_function=lambda layer: layer, call_function=call)
    # Layers that are part of one graph alone.
    return without_networks(copy_model(graph))


def _is_network(layer):
    return isinstance(layer, keras.Model) and bool(getattr(layer, "inputs", None))


def _innermost(network, name):
    """The name of a layer, or of the layer in which the network of this name ends."""
    for layer in network.layers:
        if layer.name == name and _is_network(layer):
            return _innermost(layer, layer.layers[-1].name)
    return name


def concatenated(vectors, network):
    """One vector of several that were made in the graph of a network."""
    return keras.layers.Concatenate(name=_free_name("features", network))(vectors)


def _free_name(name, network):
    """The name, or one like it that no layer of the network has, whoever named those."""
    names = {layer.name for layer in network.layers}
    while name in names:
        name += "_"
    return name


def pooled(layer, network):
    """A vector of the statistics of a layer's map or tokens; a vector stays as it is."""
    shape = layer.output.shape
    if len(shape) == 2:
        return layer.output
    if len(shape) not in (3, 4):
        raise ValueError(
            f"A layer to end at must give a map of 4 axes, tokens of 3 or a vector of 2; got "
            f"output shape {tuple(shape)}."
        )
    others = _tokens_beside_patches(shape[1], _image_sides(network)) if len(shape) == 3 else 0
    registers = max(others - 1, 0)
    name = _free_name(f"{layer.name}_moments", network)
    pooling = MomentPooling(2, others > 0, data_format_of(network), registers, name=name)
    return pooling(layer.output)


def _image_sides(network):
    """The sides of the images that a network takes, `None` where they are open; or nothing."""
    shape = network.inputs[0].shape
    if len(shape) != 4:
        return ()
    return shape[1:3] if data_format_of(network) == "channels_last" else shape[2:]


def _tokens_beside_patches(count, sides):
    """How many of a number of tokens come before those of the patches of an image."""

    def is_of_squares(patches):
        return math.isqrt(patches) ** 2 == patches

    def is_of_image(patches):
        divisor = math.gcd(*sides)
        sizes = (size for size in range(2, divisor + 1) if divisor % size == 0)
        return any(sides[0] * sides[1] == patches * size**2 for size in sizes)

    # A network may also resize images to squares, or cut them out.
    rules = [is_of_squares]
    if len(sides) == 2 and None not in sides and sides[0] != sides[1]:
        rules.insert(0, is_of_image)
    for are_patches in rules if count is not None else ():
        # None; a class token, and behind it four registers (DINOv3) or what distils (DeiT).
        for others in (0, 1, 5, 2):
            if count > others and are_patches(count - others):
                return others
    return 0


def find_layer(network, name, argument="until"):
    """The layer of a network that has this name, or an error that lists names close to it."""
    for layer in network.layers:
        if layer.name == name:
            return layer
    names = [layer.name for layer in network.layers]
    close = difflib.get_close_matches(str(name), names, n=5, cutoff=0.3)
    raise ValueError(
        f"`{argument}` must name layers of {network.name!r}; got {name!r}. Close to it are "
        f"{close}; `network.summary()` shows all."
    )
