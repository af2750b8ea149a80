"""What an `EncoderClassifier` asks of an encoder, and builds around it."""

import functools

import keras

from keras_deepfake._arguments import check_choice
from keras_deepfake.layers import ClassToken, GeMPooling, MomentPooling
from keras_deepfake.models._name_scopes import own_name_scope
from keras_deepfake.models._reconstruction_residual import ReconstructionResidual
from keras_deepfake.models.model_copy import copy_model

# Poolings by name, for each number of axes of an encoder's output.
POOLINGS = {
    4: {
        "flatten": keras.layers.Flatten,
        # Of several channels Keras's own is off by .07 % at 480 x 640 pixels on TensorFlow, which
        # adds pixel after pixel, and by 1.3 % at 2000 x 3000.
        "avg": functools.partial(MomentPooling, 1),
        "max": keras.layers.GlobalMaxPooling2D,
        "gem": GeMPooling,
    },
    3: {
        "flatten": keras.layers.Flatten,
        "avg": keras.layers.GlobalAveragePooling1D,
        "max": keras.layers.GlobalMaxPooling1D,
        "cls": ClassToken,
    },
    2: {"flatten": None},
}
# Of the layers of a classifier beside its encoder.
_OWN_NAMES = ("images", "pooling", "dropout", "head")
_OUTPUTS = {4: "a feature map", 3: "tokens", 2: "a vector"}


def without_lists(encoder):
    """The encoder, or, where it gives its one output in a list, a model of the same layers."""
    outputs = getattr(encoder, "output", None)
    if not isinstance(outputs, (list, tuple)) or len(encoder.inputs) != 1 or len(outputs) != 1:
        return encoder
    return keras.Model(encoder.inputs[0], outputs[0], name=encoder.name)


def check_encoder(encoder, pooling):
    """Raise unless the model goes from one input to one output that suits the pooling."""
    if not isinstance(encoder, keras.Model):
        raise ValueError(f"`encoder` must be a Keras model; got {encoder!r}.")
    if encoder.name in _OWN_NAMES:
        raise ValueError(
            f"`encoder` must not be called {encoder.name!r}, as a layer of the classifier is. Give "
            f"it another name: `encoder.name = 'my_{encoder.name}'`."
        )
    if not encoder.built or not getattr(encoder, "inputs", None):
        raise ValueError(
            f"`encoder` {encoder.name!r} is not built as a graph, so its input and output shapes "
            "are unknown. Give a sequential one a `keras.Input` first, and wrap a subclassed one: "
            "`keras.Model(inputs, encoder(inputs))` with `inputs = keras.Input(image_shape)`."
        )
    if len(encoder.inputs) != 1 or len(encoder.outputs) != 1:
        raise ValueError(
            "`encoder` must have one input and one output; "
            f"got {len(encoder.inputs)} and {len(encoder.outputs)}."
        )
    shape = encoder.output_shape
    if len(shape) not in POOLINGS:
        raise ValueError(
            "`encoder` must end in a feature map of 4 axes, tokens of 3 or a vector of 2; got "
            f"output shape {shape}."
        )
    if isinstance(pooling, (keras.layers.Layer, dict)):
        return
    if pooling is None:
        if len(shape) != 2:
            raise ValueError(
                f"`pooling=None` needs an encoder that ends in a vector; got output shape {shape}. "
                f"Use one of {', '.join(map(repr, POOLINGS[len(shape)]))}, or a Keras layer."
            )
        return
    try:
        check_choice("pooling", pooling, POOLINGS[len(shape)])
    except ValueError as error:
        raise ValueError(
            f"`pooling` of {_OUTPUTS[len(shape)]} must be one of "
            f"{', '.join(map(repr, POOLINGS[len(shape)]))}"
            f"{' or None' if len(shape) == 2 else ''}, or a Keras layer; got {pooling!r} for "
            f"output shape {shape}."
        ) from error
    if pooling == "flatten" and None in shape[1:]:
        raise ValueError(
            f"`pooling='flatten'` needs an encoder with a fixed image size; got output shape "
            f"{shape}. Use another pooling, or fix the image size."
        )


def pooling_layer(encoder, pooling, policy):
    """The pooling as it was given, and its layer, or `None` where there is nothing to do."""
    if isinstance(pooling, dict):
        pooling = keras.saving.deserialize_keras_object(pooling)
        if not isinstance(pooling, keras.layers.Layer):
            raise ValueError(f"`pooling` must be a name or a Keras layer; got {pooling!r}.")
    if isinstance(pooling, keras.layers.Layer):
        shape = pooling.compute_output_shape(encoder.output_shape)
        if len(shape) != 2 or shape[1] is None:
            raise ValueError(
                f"`pooling` must make one vector of fixed length an image; layer {pooling.name!r} "
                f"makes the shape {tuple(shape)} of {encoder.output_shape}."
            )
        return pooling, pooling
    pooling_class = None if pooling is None else POOLINGS[len(encoder.output_shape)][pooling]
    if pooling_class is None:
        return pooling, None
    arguments = {"dtype": policy, "name": "pooling"}
    if len(encoder.output_shape) == 4:
        arguments["data_format"] = data_format_of(encoder)
    elif pooling in ("avg", "max"):
        arguments["data_format"] = "channels_last"
    return pooling, pooling_class(**arguments)


def with_policy_and_size(encoder, policy, accepts_any_size, is_own):
    """The encoder with the policy as its own and, perhaps, for images of any size.

    Functional models forget their own policy when they are copied or saved, and take images of
    the size that they were built with, although most graphs hold for any. An encoder that
    belongs to somebody else stays as it is, behind another model of the same graph.
    """
    relaxed = accepts_any_size and _is_image_shape(encoder) and None not in sides_of(encoder)
    if not is_own:
        nested = [x for x in encoder._flatten_layers(include_self=False) if _is_graph(x)]
        relaxed = relaxed and not nested
        if encoder.dtype_policy == policy and not relaxed:
            return encoder
        encoder = keras.Model(encoder.inputs[0], encoder.outputs[0], name=encoder.name)
    for model in [encoder, *encoder._flatten_layers(include_self=False)] if is_own else [encoder]:
        if _is_graph(model):
            model.dtype_policy = policy
            if relaxed and _is_image_shape(model):
                axis = 1 if data_format_of(encoder) == "channels_first" else -1
                model.input_spec = keras.layers.InputSpec(
                    ndim=4, axes={axis: model.inputs[0].shape[axis]}
                )
    return encoder


def residual_encoder(autoencoder, latent_encoder):
    """From images to a feature map of the residual, beside that of the latent if there is one."""
    encoder, decoder = autoencoder.encoder, getattr(autoencoder, "decoder", None)
    if not isinstance(decoder, keras.Model):
        raise ValueError(
            "Residuals need an `autoencoder` with a `decoder` that is a Keras model; got "
            f"{autoencoder!r}. Use `features='latent'` without one."
        )
    shape = encoder.inputs[0].shape[1:]
    images = keras.Input(shape, name="reconstructed_images")
    reconstruction = keras.Model(
        images, copy_model(decoder)(copy_model(encoder)(images)), name="reconstruction"
    )
    policy = policy_of(encoder)
    with own_name_scope("residual_encoder"):
        fresh = keras.models.clone_model(encoder, clone_function=_renamed, recursive=True)
    for layer in fresh._flatten_layers():
        layer.trainable = True
    fresh = keras.Model(fresh.inputs[0], fresh.outputs[0], name="residual_encoder")
    images = keras.Input(shape, name="encoder_images")
    features = fresh(ReconstructionResidual(reconstruction, dtype=policy, name="residual")(images))
    if latent_encoder is not None:
        latent_encoder = keras.Model(
            latent_encoder.inputs[0], latent_encoder.outputs[0], name="latent_encoder"
        )
        features = keras.layers.Concatenate(
            axis=1 if data_format_of(encoder) == "channels_first" else -1, dtype=policy
        )([latent_encoder(images), features])
    return keras.Model(images, features, name="encoder")


def _renamed(layer):
    """A fresh layer, which keeps a name of its own beside the latent's when both are loaded."""
    return type(layer).from_config({**layer.get_config(), "name": f"residual_{layer.name}"})


def computing_layers(model):
    """The layers inside a model, at any depth, that are neither models nor inputs."""
    return [
        layer
        for layer in model._flatten_layers()
        if not isinstance(layer, (keras.Model, keras.layers.InputLayer))
    ]


def policy_of(encoder):
    """The dtype policy of what follows an encoder: that of its last layer, not quantized."""
    policy = [encoder, *computing_layers(encoder)][-1].dtype_policy
    if policy.quantization_mode is not None:
        policy = keras.dtype_policies.get(policy.name.partition("_from_")[2])
    return policy


def data_format_of(encoder):
    """The data format of the encoder's last layer that has one."""
    formats = [
        layer.data_format for layer in encoder._flatten_layers() if hasattr(layer, "data_format")
    ]
    return formats[-1] if formats else keras.config.image_data_format()


def accepts_any_size(model):
    """Whether a model takes images of any size although its input may state one."""
    spec = model.input_spec
    spec = spec[0] if isinstance(spec, (list, tuple)) and len(spec) == 1 else spec
    return spec is not None and spec.shape is None


def _is_graph(layer):
    return isinstance(layer, keras.Model) and bool(getattr(layer, "inputs", None))


def _is_image_shape(model):
    return len(model.inputs) == 1 and len(model.inputs[0].shape) == 4


def sides_of(encoder):
    shape = encoder.inputs[0].shape
    return shape[2:] if data_format_of(encoder) == "channels_first" else shape[1:3]
