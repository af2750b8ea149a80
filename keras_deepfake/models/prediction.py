"""What a model says of one batch, checked."""

import contextlib
import threading
import weakref

import keras
import numpy as np

from keras_deepfake._pixels import TOLERANCE
from keras_deepfake.models.divergence_check import non_finite_weight

# While Keras predicts on JAX, a model's variables are in the compiled function and nowhere else.
_ALONE = threading.Lock() if keras.backend.backend() == "jax" else contextlib.nullcontext()
# By model, a digest of the weights that its functions were made with.
_TRACED = weakref.WeakKeyDictionary()


class ImageSizeError(ValueError):
    """Images are too small for a model that takes many sizes."""


def predict_batch(model, batch):
    """The model's output for one batch, as a NumPy array with a row for each image.

    Under `tf.distribute` Keras's own `predict_on_batch` returns every row once a replica.

    Raises:
        ImageSizeError: If the model fails, or gives NaN, and the images are too small for it.
    """
    refresh_functions(model)
    try:
        with _ALONE:
            outputs = np.asarray(model.predict_on_batch(batch))[: len(batch)]
    except Exception as error:  # each backend has its own
        check_image_size(model, batch.shape[1:], error)
        raise
    if not np.isfinite(outputs).all():
        check_image_size(model, batch.shape[1:])
    return outputs


def refresh_functions(model):
    """Make the functions of `predict` and `evaluate` anew where a model has other weights by now.

    Keras keeps what TensorFlow traced before LoRA or quantization gave layers inside other weights.
    """
    weights = hash(tuple((weight.path, weight.dtype) for weight in model.weights))
    if _TRACED.get(model) != weights:
        _TRACED[model] = weights
        model.make_predict_function(force=True)
        if model.test_function is not None:
            model.make_test_function(force=True)


def check_image_size(model, shape, cause=None):
    """Raise `ImageSizeError` if a layer of the model cannot take images of a shape."""
    shape = tuple(map(int, shape))
    refusal = _refusal(model, shape)
    # What it does not take at the size that it was built for has another fault.
    if refusal is not None and _refusal(model, model.inputs[0].shape[1:]) is None:
        raise ImageSizeError(f"{shape} is too small for {model.name!r}: {refusal}") from (
            cause or refusal
        )


def _refusal(model, shape):
    try:
        model(keras.KerasTensor((1, *shape), "float32"))
    except Exception as error:
        return error
    return None


def check_finite_weights(model):
    """Raise if a weight is NaN or infinite: on TensorFlow a ReLU makes 0 of NaN, and hides it."""
    with _ALONE:
        path = non_finite_weight(model)
    if path is not None:
        raise ValueError(
            f"Model {model.name!r} has weights that are not finite, in {path!r}: its training "
            "diverged, or its file is damaged."
        )


def check_outputs(outputs, count, name):
    """Probabilities of `count` images in one or two columns, as float64, or what is wrong."""
    if outputs.shape not in ((count, 1), (count, 2)):
        raise ValueError(
            f"Model {name!r} must give one row of probabilities an image, in one or two columns; "
            f"got shape {outputs.shape} for {count} images."
        )
    outputs = outputs.astype("float64")
    # NaN fails both comparisons.
    if not (outputs.min(initial=0.0) >= -TOLERANCE and outputs.max(initial=1.0) <= 1 + TOLERANCE):
        raise ValueError(
            f"Model {name!r} must give probabilities; its outputs run from {outputs.min():g} to "
            f"{outputs.max():g}. If they are logits, put a softmax or sigmoid behind them."
        )
    return np.clip(outputs, 0.0, 1.0)
