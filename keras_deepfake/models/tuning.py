"""Which part of a network is trained."""

import difflib
import math

import keras

from keras_deepfake._arguments import MOST_PLACES, check_integer, check_text
from keras_deepfake.layers import ConstrainedConv2D
from keras_deepfake.models._layer_states import (
    has_lora,
    inner_layers,
    lora_factors,
    own_weights,
    restart_lora,
)
from keras_deepfake.models._reconstruction_residual import ReconstructionResidual
from keras_deepfake.models.encoder_classifier import EncoderClassifier

PARTS = ("all", "none", "norms", "lora")
_NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)


def set_trainable(model, part, rank=None):
    """Chooses the part of a network that is trained; the rest is frozen.

    Of an `EncoderClassifier` the part is one of its encoder: the head is trained in any case. As
    everywhere in Keras, the choice takes effect in the next `compile`. It is saved with a
    classifier, whatever its encoder is made of.

    LoRA adds to each kernel the product of two thin matrices and trains these alone. Saving adds
    the product to the kernel, as Keras does it, and a loaded classifier goes on with a new one.

    Args:
        model: An `EncoderClassifier`, or any built Keras model.
        part: What to train: `"all"`; `"none"`; `"norms"`, scale and offset of every normalization
            layer; `"lora"`, low-rank updates of every dense and convolutional layer and of every
            embedding, at any depth; or the name of a layer, which is then the first one to be
            trained, in the order of `summary()`. Batch normalizations that are trained normalize
            by the batch.
        rank: Integer from 1, the rank of the updates; 8 by default. For `"lora"` alone.

    Returns:
        How many parameters of the model are trained now.

    Raises:
        ValueError: If there is no such part or layer, the model is not built, it has no layers of
            this kind, or LoRA of another rank is on it already.

    Example:
        ```python
        encoder = kd.models.pretrained_encoder("MobileNetV2", (32, 32, 3), weights=None)
        classifier = kd.models.EncoderClassifier(encoder, pooling="avg")
        kd.models.set_trainable(classifier, "norms")  # 36 674: head and batch normalizations
        kd.models.set_trainable(classifier, "block_16_expand")  # what follows block 15
        kd.models.set_trainable(classifier, "lora", rank=4)
        classifier.compile(keras.optimizers.AdamW(1e-4))
        ```

    References:
        - Basu et al., "Strong baselines for parameter-efficient few-shot fine-tuning", AAAI 2024
          (normalization layers alone).
        - Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022, section 4.1.
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(f"`model` must be a built Keras model; got {model!r}.")
    network = model.encoder if isinstance(model, EncoderClassifier) else model
    check_text("part", part)
    if part != "lora" and rank is not None:
        raise ValueError(f"`rank` is that of `part='lora'`; got {rank!r} for `part={part!r}`.")
    rank = 8 if rank is None else check_integer("rank", rank, 1, MOST_PLACES)
    first = 0 if part in PARTS else _position(network, part)
    chosen = [layer for layer in _trainable_layers(network) if _is_chosen(layer, part)]
    if not chosen and part in ("norms", "lora"):
        raise ValueError(f"`part={part!r}` finds no layers of that kind in {network.name!r}.")
    if part == "lora":
        _enable_lora(chosen, rank)
        restart_lora(model)

    _thaw(model)
    for layer in [network] if part == "none" else network.layers[:first]:
        layer.trainable = False
    if chosen:
        weights_of = lora_factors if part == "lora" else own_weights
        _freeze_others(network, {id(x) for layer in chosen for x in weights_of(layer)})
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def _position(network, name):
    names = [layer.name for layer in network.layers]
    if name not in names:
        raise ValueError(
            f"`part` must be one of {', '.join(map(repr, PARTS))}, or the name of a layer of "
            f"{network.name!r}; got {name!r}. Close to it are "
            f"{difflib.get_close_matches(name, names, n=5)}; `summary()` shows all."
        )
    return names.index(name)


def _trainable_layers(layer):
    """A layer and all inside it, but for the autoencoder behind a residual."""
    yield layer
    if not isinstance(layer, ReconstructionResidual):
        for inner in inner_layers(layer):
            yield from _trainable_layers(inner)


def _is_chosen(layer, part):
    if part == "norms":
        return isinstance(layer, _NORMALIZATIONS)
    # A kernel under a constraint is not the sum of what it was and an update.
    is_constrained = isinstance(layer, ConstrainedConv2D) or any(
        getattr(layer, name, None) for name in ("kernel_constraint", "embeddings_constraint")
    )
    return part == "lora" and hasattr(layer, "enable_lora") and not is_constrained


def _enable_lora(layers, rank):
    others = {layer.lora_rank for layer in layers if has_lora(layer)} - {rank}
    if others:
        raise ValueError(
            f"`rank` must be {others.pop()}, that of the LoRA which the model has already; got "
            f"{rank}."
        )
    for layer in layers:
        if not has_lora(layer):
            layer.enable_lora(rank)


def _thaw(model):
    """Sets every flag to true, those of single weights included."""
    # On TensorFlow an attribute that is set to what it is already is not set at all, and so does
    # not reach what is inside.
    for value in (False, True):
        for layer in _trainable_layers(model):
            layer.trainable = value


def _freeze_others(layer, kept):
    """Freezes all weights inside a layer but those whose ids are given."""
    for inner in inner_layers(layer):
        if inner.trainable:
            _freeze_others(inner, kept)
    for weight in own_weights(layer):
        if id(weight) not in kept:
            weight.trainable = False
    # Without anything to train, a layer is frozen itself, batch statistics included.
    if not layer.trainable_weights:
        layer.trainable = False
