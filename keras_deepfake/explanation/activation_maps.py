"""Class activation maps: where in an image a verdict comes from."""

import contextlib

import keras
import numpy as np

from keras_deepfake._pixels import unit_pixels


def grad_cam(model, images, layer=None, class_index=0, elementwise=True, batch_size=32):
    """Map the places of an image that speak for a class.

    The activations of a convolutional layer are weighted by the gradient of the class score and
    summed over the channels; negative sums, which speak against the class, become zero. The map
    is resized to the image and divided by its maximum, so that its values are comparable within
    an image, not between images. A map of zeros means that nothing in the layer speaks for the
    class.

    The score is the log-odds of the class against the others, log p - log of the sum of their
    probabilities. For two classes under a softmax this is exactly the difference of the logits;
    unlike that of the probability its gradient does not vanish when the model is sure.

    Args:
        model: Keras model from images to probabilities of shape `(images, classes)`, such as an
            `EncoderClassifier`.
        images: Array or tensor of shape `(images, height, width, channels)`, or channels first
            if the model is so. uint8, which is scaled, or float in [0, 1].
        layer: A layer with a 4-D output anywhere in the model, nested models included, or its
            name. By default the last one. Earlier layers give finer maps.
        class_index: Integer, the column of the class. By default that of fakes.
        elementwise: Boolean. `True` weights each activation by its own gradient (HiResCAM): for
            a head that is linear in the feature map, flattened or averaged, the sum of such
            products over the map is the score but for the bias. `False` averages the gradient
            over the map first (Grad-CAM), which loses where a flatten head looks.
        batch_size: Integer, how many images are explained at a time.

    Returns:
        Float32 array of shape `(images, height, width)`, in [0, 1].

    Raises:
        ValueError: for images of another dtype or value range, a layer that is not in the model,
            has no 4-D output or does not lead to the output, a class index out of range, and a
            model that does not return probabilities.

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
    images = unit_pixels(images)
    layers = list(_innermost_layers(model))
    layer = _find_layer(layers, layer)
    channels_first = _data_format([layer, *reversed(layers)]) == "channels_first"
    height, width = images.shape[2:] if channels_first else images.shape[1:3]
    maps = []
    for start in range(0, len(images), batch_size):
        batch = keras.ops.convert_to_tensor(images[start : start + batch_size])
        activations, gradients = _activations_and_gradients(model, layer, batch, class_index)
        if channels_first:
            activations, gradients = (np.moveaxis(x, 1, -1) for x in (activations, gradients))
        if not elementwise:
            gradients = gradients.mean(axis=(1, 2), keepdims=True)
        coarse = np.maximum((activations * gradients).sum(axis=-1, keepdims=True), 0)
        fine = keras.ops.image.resize(coarse, (height, width), data_format="channels_last")
        maps.append(keras.ops.convert_to_numpy(fine)[..., 0])
    maps = np.concatenate(maps)
    largest = maps.max(axis=(1, 2), keepdims=True)
    return maps / np.where(largest > 0, largest, 1)


def _innermost_layers(model):
    """All layers in the order of `Model.layers`, with nested models replaced by theirs."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _innermost_layers(layer)
        else:
            yield layer


def _find_layer(layers, wanted):
    if isinstance(wanted, keras.layers.Layer):
        return wanted
    maps = {
        layer.name: layer
        for layer in layers
        if not isinstance(layer, keras.layers.InputLayer)
        and len(getattr(getattr(layer, "output", None), "shape", ())) == 4
    }
    if wanted is None and maps:
        return list(maps.values())[-1]
    if wanted not in maps:
        raise ValueError(
            f"`layer` must be a layer with a 4-D output, or the name of one; got {wanted!r}. "
            f"The model has {list(maps)}."
        )
    return maps[wanted]


def _data_format(layers):
    default = keras.config.image_data_format()
    return next((x.data_format for x in layers if hasattr(x, "data_format")), default)


def _activations_and_gradients(model, layer, images, class_index):
    """Output of `layer`, and the gradient of the class scores with respect to it."""
    outputs = []

    def record(call):
        def recording_call(*args, **kwargs):
            outputs.append(call(*args, **kwargs))
            return outputs[-1]

        return recording_call

    with _changed_call(layer, record):
        probabilities = keras.ops.convert_to_numpy(model(images, training=False))
    if not outputs:
        raise ValueError(f"`layer` {layer.name!r} is not used by the model {model.name!r}.")
    if len(outputs) > 1 or len(outputs[0].shape) != 4:
        raise ValueError(
            f"`layer` {layer.name!r} must be called once and return one 4-D feature map; it was "
            f"called {len(outputs)} times and returned shape {tuple(outputs[0].shape)}."
        )
    if (
        probabilities.ndim != 2
        or probabilities.shape[1] < 2
        or not np.all((probabilities >= 0) & (probabilities <= 1 + 1e-3))
    ):
        raise ValueError(
            "`model` must return probabilities of two or more classes; got shape "
            f"{probabilities.shape} and values from {probabilities.min():g} to "
            f"{probabilities.max():g}. Logits need a softmax first."
        )
    if not 0 <= class_index < probabilities.shape[1]:
        raise ValueError(
            f"`class_index` must be one of the model's {probabilities.shape[1]} columns, counted "
            f"from 0; got {class_index}."
        )

    def score(activations):
        # With the layer's output given, all before it is idle and the rest is a function of it.
        with _changed_call(layer, lambda call: lambda *args, **kwargs: activations):
            probabilities = keras.ops.cast(model(images, training=False), "float32")
        # Summed one by one: 1 - p would round to 0 long before the others do.
        is_other = 1 - keras.ops.one_hot(class_index, probabilities.shape[1])
        others = keras.ops.sum(probabilities * is_other, axis=1)
        return keras.ops.sum(_log(probabilities[:, class_index]) - _log(others))

    gradients = _gradient(score, outputs[0])
    if gradients is None:
        raise ValueError(f"The output of the model does not depend on `layer` {layer.name!r}.")
    return tuple(
        keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")) for x in (outputs[0], gradients)
    )


@contextlib.contextmanager
def _changed_call(layer, change):
    """Let `layer` run `change(layer.call)`, wherever in a model it is called."""
    # Taking a functional graph apart and sharing its layers would serve only layers that are
    # nodes of it, and no branch past them.
    layer.call = change(layer.call)
    try:
        yield
    finally:
        del layer.call


def _log(x):
    return keras.ops.log(keras.ops.maximum(x, 1e-37))


def _gradient(function, x):
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
                x = x.detach().requires_grad_()
                return torch.autograd.grad(function(x), x, allow_unused=True)[0]
