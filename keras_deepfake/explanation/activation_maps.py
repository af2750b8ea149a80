"""Class activation maps: where in an image a verdict comes from."""

import contextlib

import keras
import numpy as np

from keras_deepfake._arguments import MOST_PLACES, check_choice, check_flag, check_integer
from keras_deepfake.explanation._images import check_images
from keras_deepfake.layers import NativeCrop
from keras_deepfake.models import as_detector
from keras_deepfake.models.image_batches import image_layout
from keras_deepfake.models.model_copy import copy_model, paired_layers
from keras_deepfake.models.prediction import check_finite_weights, check_outputs


def grad_cam(
    model,
    images,
    layer=None,
    class_name=None,
    elementwise=True,
    batch_size=32,
    *,
    class_names=None,
    fake_class=None,
):
    """Map the places of an image that speak for its being fake.

    The activations of a convolutional layer are weighted by the gradient of the class score and
    summed over the channels; negative sums, which speak against the class, become zero. The map
    is resized to the image and divided by its maximum, so that its values are comparable within
    an image, not between images. A map of zeros means that nothing in the layer speaks for the
    class.

    The score is the log-odds of the class, log p - log (1 - p). For two columns under a softmax
    this is exactly the difference of the logits; unlike that of the probability its gradient does
    not vanish when the model is sure. Only a sigmoid in one column, which float32 cannot tell from
    1 above a logit of 17, leaves no gradient there.

    Where the model looks at windows of an image (`kd.layers.NativeCrop`), each has its map in its
    place, and the mean where they overlap; what no window shows is zero.

    The maps are computed on a copy of the model, so that the model may predict or train meanwhile.

    Args:
        model: A `Detector`, an `EncoderClassifier`, or any Keras model that `as_detector` takes.
        images: Array or tensor of shape `(images, height, width, channels)`, or channels first
            if the model is so. uint8, which is scaled, or floating point in [0, 1].
        layer: A layer with a 4-D output anywhere in the model, nested models included, or its
            name. By default the last one, of a detector's member with the largest weight.
            Earlier layers give finer maps.
        class_name: The class that the places speak for, one of the model's. By default the fake
            one.
        elementwise: Boolean. `True` weights each activation by its own gradient (HiResCAM): for
            a head that is linear in the feature map, flattened or averaged, the sum of such
            products over the map is the score but for the bias. `False` averages the gradient
            over the map first (Grad-CAM), which loses where a flatten head looks.
        batch_size: Integer, how many images are explained at a time.
        class_names: Two strings, the classes of a plain Keras model in the order of the labels
            that it was trained on.
        fake_class: The name of the fake class, where it cannot be recognised.

    Returns:
        Float32 array of shape `(images, height, width)`, in [0, 1].

    Raises:
        ValueError: for images of another shape, dtype or value range, a layer that is not in the
            model, has no 4-D output or does not lead to the output, a class that the model does
            not have, and a model of which `as_detector` can make no detector or that does not
            return probabilities.

    Example:
    ```python
    autoencoder = kd.models.ConvAutoencoder(image_shape=(32, 32, 3), filters=(8, 4))
    classifier = kd.models.EncoderClassifier.from_autoencoder(autoencoder)
    images = np.random.default_rng(0).uniform(size=(2, 32, 32, 3))
    maps = kd.explanation.grad_cam(classifier, images)
    figure = kd.visualization.plot_overlays(images, maps, label="Speaks for fake")
    ```

    Reference:
        [Selvaraju et al., 2017](https://arxiv.org/abs/1610.02391), equations 1 and 2, and
        [Draelos and Carin, 2020](https://arxiv.org/abs/2011.08891) for `elementwise=True`.
    """
    check_flag("elementwise", elementwise)
    batch_size = check_integer("batch_size", batch_size, 1, MOST_PLACES)
    original = as_detector(model, class_names, fake_class)
    column = original.fake_index
    if class_name is not None:
        check_choice("class_name", class_name, original.class_names)
        column = original.class_names.index(class_name)
    images = check_images(images, original)
    check_finite_weights(original)

    detector = copy_model(original)
    layer = _find_layer(original, detector, layer)
    channels_first = _data_format([layer, *reversed(_graph_layers(detector))]) == "channels_first"
    # The layer may be behind a change of axes.
    height, width = images.shape[2:] if image_layout(original.input_shape)[1] else images.shape[1:3]
    # Several windows of an image go by the same layers.
    windows = [crop.window(height, width) for crop in _crops(detector, layer)]
    windows = windows or [(slice(0, height), slice(0, width))]
    maps = np.zeros((len(images), height, width), "float32")
    covered = np.zeros((height, width), "float32")
    for rows, columns in windows:
        covered[rows, columns] += 1
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        batch = keras.ops.convert_to_tensor(images[part])
        calls = _activations_and_gradients(detector, layer, batch, column, len(windows))
        for activations, gradients, (rows, columns) in zip(*calls, windows, strict=True):
            if channels_first:
                activations, gradients = (np.moveaxis(x, 1, -1) for x in (activations, gradients))
            if not elementwise:
                gradients = gradients.mean(axis=(1, 2), keepdims=True)
            coarse = np.maximum((activations * gradients).sum(axis=-1, keepdims=True), 0)
            size = rows.stop - rows.start, columns.stop - columns.start
            fine = keras.ops.image.resize(coarse, size, data_format="channels_last")
            maps[part, rows, columns] += keras.ops.convert_to_numpy(fine)[..., 0]
    maps /= np.maximum(covered, 1)
    largest = maps.max(axis=(1, 2), keepdims=True)
    return maps / np.where(largest > 0, largest, 1)


def _graph_layers(model):
    """All layers in the order of `Model.layers`, with nested models replaced by theirs."""
    layers = []
    for layer in model.layers:
        layers += _graph_layers(layer) if isinstance(layer, keras.Model) else [layer]
    return layers


def _find_layer(original, copy, wanted):
    """The layer of the copy that is wanted, which may be told by that of the original."""
    if isinstance(wanted, keras.layers.Layer):
        found = [twin for layer, twin in paired_layers(original, copy) if layer is wanted]
        if not found:
            raise ValueError(
                f"`layer` {wanted.name!r} is not used by the model. Take a layer of this very "
                "model, or the name of one."
            )
        return found[0]
    maps = feature_maps(copy)
    if not maps:
        raise ValueError(
            "`model` has no layer with a feature map, which has 4 axes: tokens and vectors have no "
            "places to point at."
        )
    # Members of one kind have layers of the same names.
    heaviest = feature_maps(copy.members[int(np.argmax(copy.member_weights))])
    if wanted is None:
        return list((heaviest or maps).values())[-1]
    # Not `in`, which what has no hash raises at.
    if not isinstance(wanted, str) or wanted not in maps:
        raise ValueError(
            f"`layer` must be a layer with a 4-D output, or the name of one; got {wanted!r}. "
            f"The model has {list(maps)}."
        )
    return {**maps, **heaviest}[wanted]


def feature_maps(model):
    """The layers with a 4-D output, which `grad_cam` can explain a model by, by their names."""
    return {
        layer.name: layer
        for layer in _graph_layers(model)
        if not isinstance(layer, keras.layers.InputLayer)
        and len(getattr(getattr(layer, "output", None), "shape", ())) == 4
    }


def _data_format(layers):
    default = keras.config.image_data_format()
    return next((x.data_format for x in layers if hasattr(x, "data_format")), default)


def _crops(detector, layer):
    """The windows that the member with this layer takes of an image, one for each of its calls."""
    for member in detector.members:
        layers = member._flatten_layers()
        if any(inner is layer for inner in layers):
            return [inner for inner in layers if isinstance(inner, NativeCrop)]
    return []


def _activations_and_gradients(detector, layer, images, column, num_calls):
    """Outputs of the calls of `layer`, and the gradients of the class's log-odds by them."""
    outputs = []

    def record(call):
        def recording_call(*args, **kwargs):
            outputs.append(call(*args, **kwargs))
            return outputs[-1]

        return recording_call

    with _changed_call(layer, record):
        for member in detector.members:
            probabilities = keras.ops.convert_to_numpy(member(images, training=False))
            check_outputs(probabilities, len(images), member.name)
    shapes = [tuple(getattr(output, "shape", ())) for output in outputs]
    if len(shapes) != num_calls or any(len(shape) != 4 for shape in shapes):
        raise ValueError(
            f"`layer` {layer.name!r} must be called once, or once for each `NativeCrop`, and "
            f"return one 4-D feature map; it was called {len(shapes)} times and returned the "
            f"shapes {shapes}."
        )

    def score(activations):
        # With the layer's outputs given, all before it is idle and the rest is a function of them.
        given = iter(activations)
        with _changed_call(layer, lambda call: lambda *args, **kwargs: next(given)):
            probabilities = detector(images, training=False)
        return keras.ops.sum(_log(probabilities[:, column]) - _log(probabilities[:, 1 - column]))

    gradients = _gradients(score, outputs)
    if any(gradient is None for gradient in gradients):
        raise ValueError(f"The output of the model does not depend on `layer` {layer.name!r}.")
    return tuple(
        [keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")) for x in tensors]
        for tensors in (outputs, gradients)
    )


@contextlib.contextmanager
def _changed_call(layer, change):
    """Let `layer`, which nobody else has, run `change(layer.call)` wherever it is called."""
    # Taking a functional graph apart and sharing its layers would serve only layers that are
    # nodes of it, and no branch past them.
    layer.call = change(layer.call)
    try:
        yield
    finally:
        del layer.call


def _log(x):
    return keras.ops.log(keras.ops.maximum(x, 1e-37))


def _gradients(function, x):
    """Gradients of a function of a list of tensors."""
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                tape.watch(x)
                y = function(x)
            return tape.gradient(y, x)
        case "jax":
            import jax

            return jax.grad(function)(x)
        case "torch":
            import torch

            with torch.enable_grad():
                x = [part.detach().requires_grad_() for part in x]
                return torch.autograd.grad(function(x), x, allow_unused=True)
