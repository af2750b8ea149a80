"""Backbones of KerasHub as encoders of images in [0, 1]."""

import keras
import numpy as np

from keras_deepfake._arguments import check_text
from keras_deepfake.models._hub_layers import KerasHubLayer, import_keras_hub
from keras_deepfake.models.feature_extractors import feature_extractor
from keras_deepfake.models.model_copy import copy_model
from keras_deepfake.models.pretrained_encoders import rescaling

# What holds its blocks in one layer, whose `call` runs them one after another.
_CHAINS_OF_BLOCKS = ("DINOV2Encoder", "DINOV3Encoder", "ViTEncoder")


def hub_encoder(backbone, until=None, converter=None, **preset_arguments):
    """Makes an encoder of a vision backbone of KerasHub, such as CLIP, DINOv2, SigLIP or ViT.

    The encoder takes what everything in this library takes, RGB in [0, 1], and scales it as the
    backbone was trained; it does not resize. Of a model of images and texts it is the part that
    sees. The blocks of a transformer are layers of the encoder, by which `until` cuts, as
    `kd.models.feature_extractor` does. Needs `pip install "keras-deepfake[hub]"`, as does loading
    what was saved.

    Args:
        backbone: The name of a preset, such as `"clip_vit_base_patch16"`, which KerasHub
            downloads once; the folder of a preset; or a `keras_hub.models.Backbone`, which is
            copied.
        until: Name of the layer to end at, or several names. `None` takes the network whole.
        converter: A `keras_hub.layers.ImageConverter`, whose scale and offset are those for
            pixels from 0 to 255. `None` takes the one of the preset.
        **preset_arguments: Arguments of `keras_hub.models.Backbone.from_preset`, such as
            `image_shape`, where the backbone has it, or `load_weights=False`.

    Returns:
        A functional Keras model from images in [0, 1] to tokens, a feature map or a vector.

    Raises:
        ValueError: If there is no such preset or layer, the backbone takes no images or cannot
            be saved in parts, or one that is built comes without a converter.
        OSError: If the preset cannot be downloaded.
        ImportError: If KerasHub is not installed.

    Example:
        ```python
        import keras_hub

        backbone = keras_hub.models.ViTBackbone(
            (32, 32, 3), patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
        )
        converter = keras_hub.layers.ImageConverter(scale=1 / 127.5, offset=-1.0)
        encoder = kd.models.hub_encoder(backbone, "transformer_block_1", converter)
        encoder.output_shape  # (None, 17, 16): the class token and 4 x 4 patches
        ```
    """
    keras_hub = import_keras_hub()
    if not isinstance(backbone, keras_hub.models.Backbone):
        backbone, converter = _load(keras_hub, backbone, converter, preset_arguments)
    elif preset_arguments:
        raise ValueError(
            f"`{next(iter(preset_arguments))}` is for presets; `backbone` is built already."
        )
    if not isinstance(converter, keras_hub.layers.ImageConverter):
        raise ValueError(
            "`converter` must be a `keras_hub.layers.ImageConverter`, which knows the scale of "
            "the pixels: `ImageConverter.from_preset(preset)`, or `ImageConverter(scale=1 / 255)` "
            f"for a backbone of images in [0, 1]; got {converter!r}."
        )
    network = getattr(backbone, "vision_encoder", None) or backbone
    shapes = [tuple(x.shape) for x in network.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or 3 not in shapes[0][1:]:
        raise ValueError(
            f"`backbone` must take RGB images alone; {backbone.name!r} takes inputs of {shapes}."
        )
    # Layers of its own: those of the backbone belong to its graph too.
    return feature_extractor(copy_model(_on_images(network, converter)), until)


def _load(keras_hub, preset, converter, arguments):
    check_text("backbone", preset)
    try:
        backbone = keras_hub.models.Backbone.from_preset(preset, **arguments)
        if converter is None:
            converter = keras_hub.layers.ImageConverter.from_preset(preset)
    except OSError as error:
        raise OSError(
            f"The preset {preset!r} cannot be downloaded or read: {error}. Give `backbone` the "
            "folder of a preset that was fetched elsewhere, and `converter` if the folder has "
            "none; or a `keras_hub.models.Backbone` that you build, for random weights."
        ) from error
    return backbone, converter


def _on_images(network, converter):
    """The graph of the network on scaled images, its chains of blocks laid open."""
    images = keras.Input(network.inputs[0].shape[1:], name=network.inputs[0].name)
    scale, offset = (
        np.broadcast_to(default if value is None else value, 3)
        for value, default in ((converter.scale, 1.0), (converter.offset, 0.0))
    )
    scaled = rescaling(255.0 * scale, offset)(images)
    wrapped = {}

    def call(layer, *args, **kwargs):
        args, kwargs = keras.tree.map_structure(
            lambda x: scaled if x is images else x, (args, kwargs)
        )
        if type(layer).__name__ in _CHAINS_OF_BLOCKS:
            return layer.call(*args, **kwargs)
        return layer(*args, **kwargs)

    def call_saved(layer, *args, **kwargs):
        if not type(layer).__module__.startswith("keras_hub."):
            return layer(*args, **kwargs)
        tensors = {key: x for key, x in kwargs.items() if _has_tensors(x)}
        if id(layer) not in wrapped:
            arguments = {key: x for key, x in kwargs.items() if key not in tensors}
            wrapped[id(layer)] = KerasHubLayer(
                layer, arguments, name=layer.name, dtype=layer.dtype_policy
            )
        return wrapped[id(layer)](*args, **tensors)

    def graph(model, inputs, call_function):
        return keras.models.clone_model(
            model,
            input_tensors=inputs,
            clone_function=lambda layer: layer,
            call_function=call_function,
        )

    opened = graph(network, keras.tree.map_structure(lambda _: images, network.input), call)
    opened = keras.Model(images, opened.outputs[0], name=network.name)
    return graph(opened, images, call_saved)


def _has_tensors(value):
    return any(isinstance(x, keras.KerasTensor) for x in keras.tree.flatten(value))
