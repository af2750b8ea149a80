"""Where the encoder of a classifier comes from, checked."""

import json

import keras
import keras_tuner

from keras_deepfake.hypermodels.hyper_conv_autoencoder import HyperConvAutoencoder

# By the number of axes of what the encoder gives: a map, tokens, a vector.
POOLINGS = {4: ("flatten", "avg", "max", "gem"), 3: ("flatten", "avg", "max", "cls"), 2: ()}


class EncoderFunction:
    """A function from hyperparameters to an encoder, which may declare some of its own.

    Args:
        function: The function.
        taken: Names of hyperparameters that it must not declare.
    """

    def __init__(self, function, taken):
        self._function = function
        self._taken = set(taken)
        # What it declares, for every set of values of all hyperparameters.
        self._spaces = {}

    def declare(self, hp):
        """Declare the hyperparameters of the function and return the active values by name."""
        values = json.dumps(hp.values, sort_keys=True)
        if values not in self._spaces:
            # Apart from all others, so that those of the function are known.
            own = _with_values(hp.values)
            self._function(own)
            if taken := self._taken & {parameter.name for parameter in own.space}:
                raise keras_tuner.errors.FatalValueError(
                    f"The function `encoder` declares {sorted(taken)}, which the search space "
                    "declares itself. Give its own hyperparameters other names."
                )
            self._spaces[values] = own.space
        space = self._spaces[values]
        hp.merge(space, overwrite=False)
        return {p.name: hp.values[p.name] for p in space if hp.is_active(p)}

    def make(self, values):
        """The encoder of some values."""
        return self._function(_with_values(values))


def check_encoder(encoder, image_shape, source="encoder"):
    """Return the poolings that suit an encoder, or say what is wrong with it."""
    if not isinstance(encoder, keras.Model) or not getattr(encoder, "inputs", None):
        raise ValueError(
            "`encoder` must be a Keras model that is built as a graph, or a function from "
            f"hyperparameters to one; got {encoder!r}."
        )
    shape = tuple(encoder.inputs[0].shape[1:])
    if len(shape) != 3 or any(
        side not in (None, fixed) for side, fixed in zip(shape, image_shape, strict=True)
    ):
        raise ValueError(f"`image_shape` must be that of `{source}`, {shape}; got {image_shape}.")
    output_shape = encoder.outputs[0].shape
    if len(output_shape) not in POOLINGS:
        raise ValueError(
            "`encoder` must end in a feature map of 4 axes, tokens of 3 or a vector of 2; got "
            f"output shape {tuple(output_shape)}."
        )
    has_open_size = None in output_shape[1:]
    return tuple(
        name for name in POOLINGS[len(output_shape)] if name != "flatten" or not has_open_size
    )


def check_autoencoder(autoencoder, image_shape, features):
    """Return the poolings that suit an autoencoder, or say what is wrong with it."""
    if isinstance(autoencoder, HyperConvAutoencoder):
        if autoencoder.image_shape != image_shape:
            raise ValueError(
                f"`image_shape` must be that of `autoencoder`, {autoencoder.image_shape}; got "
                f"{image_shape}."
            )
        return POOLINGS[4]
    encoder = getattr(autoencoder, "encoder", None)
    if not isinstance(encoder, keras.Model):
        raise ValueError(
            "`autoencoder` must be a Keras model with an `encoder`, a `HyperConvAutoencoder`, or "
            f"`None`; got {autoencoder!r}."
        )
    has_decoder = isinstance(getattr(autoencoder, "decoder", None), keras.Model)
    if features != ("latent",) and not has_decoder:
        raise ValueError(
            "`features` other than 'latent' need an `autoencoder` with a `decoder`; got "
            f"{features} for {autoencoder!r}."
        )
    return check_encoder(encoder, image_shape, "autoencoder")


def _with_values(values):
    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    return hp
