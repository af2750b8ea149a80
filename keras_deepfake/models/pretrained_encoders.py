"""Networks of `keras.applications` as encoders of images in [0, 1]."""

import importlib
import os

import keras
import numpy as np

from keras_deepfake._arguments import MOST_PLACES, check_choice, check_integer, check_path
from keras_deepfake.models._name_scopes import own_name_scope
from keras_deepfake.models.feature_extractors import feature_extractor


def pretrained_encoder(name, image_shape=(None, None, 3), weights="imagenet", until=None):
    """Makes an encoder of a network that was trained on photographs.

    The network comes without its classifier, and with its own preprocessing inside: the encoder
    takes what everything in this library takes, RGB in [0, 1]. Its layers are those of Keras, so
    that it saves, exports and trains like any other model.

    Layers in the middle of a network often tell fakes better than the last ones: `until` cuts
    there, as `kd.models.feature_extractor` does.

    Args:
        name: A network of `keras.applications`, such as `"EfficientNetV2B0"`.
        image_shape: `(height, width, 3)`, or `(3, height, width)` where Keras's data format is
            channels first; sides of `None` accept any size, if the network does.
        weights: `"imagenet"`, which Keras downloads once; the path of a weights file; or `None`
            for random ones.
        until: Name of the layer to end at, or several names. `None` takes the network whole.

    Returns:
        A functional Keras model from images in [0, 1] to a feature map, to a vector where the
        layer gives one, or of several layers to a vector of their channels' means and deviations.

    Raises:
        ValueError: If there is no such network or layer, or the network refuses `image_shape`.
        OSError: If the weights cannot be downloaded or read.

    Example:
        ```python
        encoder = kd.models.pretrained_encoder("MobileNetV2", weights=None)
        classifier = kd.models.EncoderClassifier(encoder, pooling="avg")
        classifier.predict(np.zeros((2, 64, 64, 3)), verbose=0).shape  # (2, 2)
        ```
    """
    networks = [network for network in dir(keras.applications) if network[0].isupper()]
    make = getattr(keras.applications, check_choice("name", name, networks))
    image_shape = _check_shape(image_shape)
    if weights is not None:
        weights = str(check_path("weights", weights))
        if weights != "imagenet" and not os.path.isfile(weights):
            raise OSError(f"`weights`={weights!r}: there is no such file.")
    with own_name_scope(name):
        images = keras.Input(image_shape, name="images")
        network = _load(make, name, _preprocessed(images, make), image_shape, weights)
        return feature_extractor(network, until, name)


def _check_shape(image_shape):
    axes = image_shape if isinstance(image_shape, (tuple, list)) else ()
    channel_axis = 0 if keras.config.image_data_format() == "channels_first" else 2
    if len(axes) != 3 or axes[channel_axis] != 3:
        raise ValueError(
            "`image_shape` must be height, width and the 3 channels of RGB in Keras's data "
            f"format, such as (224, 224, 3) or (None, None, 3); got {image_shape!r}."
        )
    return tuple(
        None if axis is None else check_integer("image_shape", axis, 1, MOST_PLACES)
        for axis in axes
    )


def _preprocessed(images, make):
    """What the network's own `preprocess_input` makes of images from 0 to 255."""
    module = importlib.import_module(f"keras.applications.{make.__module__.rpartition('.')[2]}")
    # It scales and shifts every channel, and may reverse their order.
    probes = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], "float64")
    found = module.preprocess_input(255 * probes[:, None, None], data_format="channels_last")
    offset, *gains = np.asarray(found, "float64")[:, 0, 0]
    gains = np.array(gains) - offset
    if gains[0, 0] == 0:
        axis = 1 if keras.config.image_data_format() == "channels_first" else -1
        images = keras.ops.flip(images, axis=axis)
        gains = gains[::-1]
    return rescaling(np.diag(gains), offset)(images)


def rescaling(scale, offset):
    """A layer that multiplies every channel by its scale and adds its offset."""
    scale, offset = np.asarray(scale, "float64"), np.asarray(offset, "float64")
    if keras.config.image_data_format() == "channels_first":
        # Keras brings the scale into this shape by itself, but not the offset.
        scale, offset = scale[:, None, None], offset[:, None, None]
    return keras.layers.Rescaling(scale.tolist(), offset.tolist(), name="preprocessing")


def _load(make, name, inputs, image_shape, weights):
    try:
        return make(
            include_top=False,
            weights=weights,
            input_tensor=inputs,
            input_shape=image_shape,
        )
    except Exception as error:  # Keras has no type of its own for a failed download
        if weights != "imagenet" or "fetch failure" not in str(error):
            raise
        raise OSError(
            f"The weights of {name!r} cannot be downloaded: {error}. Give `weights` the path of "
            "their file, fetched elsewhere; or copy that file into `~/.keras/models`, where Keras "
            "looks first; or take `weights=None` for random ones."
        ) from error
