"""Networks as encoders: where they come from, where they can be cut, what they see of an image."""

import hashlib
import json
import re
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from keras_deepfake.datasets import load_image
from keras_deepfake.layers import NativeCrop, ResidualCooccurrence
from keras_deepfake.models import load_model, pretrained_encoder
from keras_deepfake.models.feature_extractors import (
    concatenated,
    find_layer,
    pooled,
    without_networks,
)
from keras_deepfake.models.image_batches import image_layout
from keras_deepfake.models.prediction import (
    ImageSizeError,
    check_finite_weights,
    check_image_size,
)

# Depths of a network to choose among: each costs memory, and neighbours say the same.
MOST_DEPTHS = 12
MOST_CROPS_PER_SIDE = 3
# Of layers that are put around a network.
_TAKEN_NAMES = ("images", "features", "pooling", "dropout", "head")


class NetworkEncoder(NamedTuple):
    """A network, and the vectors that it makes of images.

    Attributes:
        name: What it is called in the results.
        network: Keras model of images with colour last, of whose layers none is a network.
        depths: Names of the layers whose statistics are the features; of several the recipe may
            choose.
        is_fixed: Whether all depths are to be used.
        standardize: Whether features have scales that mean nothing.
    """

    name: str
    network: keras.Model
    depths: tuple
    is_fixed: bool
    standardize: bool = True

    def digest(self):
        """A text that is the same for the same network and depths, though it is made again."""
        names = [layer.name for layer in self.network.layers]
        depths = [names.index(depth) for depth in self.depths]
        config = json.dumps(keras.saving.serialize_keras_object(self.network), default=str)
        # Keras numbers the names of what it makes.
        description = re.sub(r"_\d+", "", json.dumps([self.name, config]))
        digest = hashlib.sha256(f"{description}{depths}{self.is_fixed}".encode())
        for weight in self.network.get_weights():
            digest.update(np.ascontiguousarray(weight).tobytes())
        return digest.hexdigest()[:16]

    @property
    def size(self):
        """Height and width of the network's input, each `None` where any will do."""
        return self.network.inputs[0].shape[1:3]

    def crops_per_side(self, index):
        """How many windows of the network's size fit beside each other into a usual image."""
        if None in self.size:
            return 1
        ratios = [min(np.array(size) / self.size) for size in usual_sizes(index)]
        return int(np.clip(round(float(np.median(ratios))), 1, MOST_CROPS_PER_SIDE))


def usual_sizes(index):
    """Height and width of some of the images."""
    places = np.linspace(0, len(index) - 1, min(len(index), 20)).astype(int)
    return [load_image(index.paths[place]).shape[:2] for place in places]


def encoder_model(encoder, crops_per_side=1):
    """The Keras model from images of any size to one vector, and the width of each depth."""
    network = encoder.network
    parts = [pooled(network.get_layer(depth), network) for depth in encoder.depths]
    images = network.inputs[0]
    if None not in encoder.size:
        core = keras.Model(images, parts, name=encoder.name)
        images = keras.Input((None, None, 3), name="images")
        places = [0.5] if crops_per_side == 1 else np.linspace(0, 1, crops_per_side).tolist()
        crops = [
            keras.tree.flatten(core(NativeCrop(encoder.size, (y, x), "channels_last")(images)))
            for y in places
            for x in places
        ]
        parts = crops[0]
        if len(crops) > 1:
            parts = [keras.layers.Average()(list(part)) for part in zip(*crops, strict=True)]
    features = parts[0] if len(parts) == 1 else concatenated(parts, network)
    return keras.Model(images, features, name=encoder.name), [part.shape[-1] for part in parts]


def check_sizes(models, index):
    """Raise if an image is too small for a model, before any is encoded."""
    place = min(range(len(index)), key=lambda place: sorted(index.headers[place, :2]))
    for model in models:
        try:
            check_image_size(model, (*index.headers[place, :2], 3))
        except ImageSizeError as error:
            raise ValueError(
                f"{index.paths[place]!r} cannot be encoded: {error} Leave what is as small out "
                "of the index, as by `index.take(index.headers[:, :2].min(axis=1) >= least)`."
            ) from error


def cooccurrence_encoder():
    """The strongest of the library's fixed features, which needs no pretrained network."""
    images = keras.Input((None, None, 3), name="images")
    layer = ResidualCooccurrence(data_format="channels_last", name="cooccurrence")
    network = keras.Model(images, layer(images), name="cooccurrence")
    return NetworkEncoder("cooccurrence", network, ("cooccurrence",), True, standardize=False)


def read_encoder(encoder, argument="encoder"):
    """Make a `NetworkEncoder` of a model, a file, or a name.

    Args:
        encoder: A Keras model of RGB images in [0, 1]; the path of a `.keras` file; or the name
            of a network of `keras.applications`. A path or name may be followed by a colon and
            the names of layers, with commas between them.
        argument: What it is called in an error.

    Raises:
        ValueError: If there is no such file, network or layer, it does not take RGB images, or its
            weights are not finite.
    """
    layers = None
    if isinstance(encoder, keras.Model):
        network = encoder
    elif isinstance(encoder, (str, Path)):
        # A colon may also follow the letter of a drive.
        source, layers = re.fullmatch(r"(.*?\.keras|\w+)(?::(.+))?|.*", str(encoder)).groups()
        if source is None:
            raise ValueError(
                f"`{argument}` must be a Keras model, the path of a `.keras` file, or the name of "
                "a network of `keras.applications`, perhaps with `:layer,layer` behind it; got "
                f"{str(encoder)!r}."
            )
        is_file = source.endswith(".keras")
        network = load_model(source) if is_file else pretrained_encoder(source)
    else:
        raise ValueError(
            f"`{argument}` must be a Keras model, a path or a name"
            f"{', or a list of them' if argument == 'encoder' else ''}; got {encoder!r}."
        )
    inputs = getattr(network, "inputs", None) or []
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or 3 not in inputs[0].shape[1::2]:
        raise ValueError(
            f"`{argument}` must take one batch of RGB images; {network.name!r} takes "
            f"{[tuple(x.shape) for x in inputs]}."
        )
    check_finite_weights(network)
    _, channels_first = image_layout(inputs[0].shape)
    if channels_first:
        # Members of a detector take images of one layout.
        images = keras.Input((*inputs[0].shape[2:], 3), name="images")
        moved = keras.layers.Permute((3, 1, 2), name="colour_first")(images)
        network = keras.Model(images, network(moved), name=network.name)
    network = without_networks(network)
    if network.name in _TAKEN_NAMES:
        name = f"{network.name}_network"
        network = keras.Model(network.inputs[0], network.outputs[0], name=name)
    if layers is not None:
        depths = tuple(layers.split(","))
        for depth in depths:
            find_layer(network, depth, argument)
        return NetworkEncoder(network.name, network, depths, True)
    last = network.layers[-1].name
    if len(network.outputs[0].shape) == 2:
        # It ends in a vector: somebody chose what is in it.
        return NetworkEncoder(network.name, network, (last,), True)
    return NetworkEncoder(network.name, network, cut_points(network), False)


def cut_points(network):
    """Names of layers through which all of a network goes, spread over its depth."""
    candidates, weighted = [], 0
    # What is the same for all images, such as the places of patches, leads past no layer.
    outputs = keras.tree.flatten([layer.output for layer in network.layers])
    constants = [output for output in outputs if output.shape[:1] != (None,)]
    for layer in network.layers:
        weighted += bool(layer.weights)
        if isinstance(layer.output, list) or len(layer.output.shape) < 3:
            continue
        is_last = layer is network.layers[-1]
        if is_last or (weighted and _is_cut(network, layer, constants)):
            candidates.append((weighted, layer.name))
    depths = np.array([depth for depth, _ in candidates])
    shares = np.arange(1, MOST_DEPTHS + 1) / MOST_DEPTHS * weighted
    chosen = set()
    for share in shares:
        depth = depths[depths >= share - 1e-9].min(initial=depths[-1])
        # Of the layers of one depth the last: after the sum, not before.
        chosen.add(int(np.flatnonzero(depths == depth)[-1]))
    return tuple(candidates[place][1] for place in sorted(chosen))


def _is_cut(network, layer, constants):
    """Whether all that follows in a network comes from the output of this layer and constants."""
    try:
        keras.Model([layer.output, *constants], network.outputs[0])
    except ValueError:
        return False
    return True
