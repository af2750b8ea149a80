"""The arguments of `keras.Model.fit` in a search, where each trial has its own batch size."""

import inspect
import weakref

import keras
import tensorflow as tf
from keras_tuner.errors import FatalValueError

from keras_deepfake import datasets


def fit_arguments(args, kwargs):
    """Arguments of `keras.Model.fit` by name, checked for what a search cannot do."""
    try:
        arguments = dict(inspect.signature(keras.Model.fit).bind(None, *args, **kwargs).arguments)
    except TypeError as error:
        raise FatalValueError(f"`search` got wrong arguments: {error}.") from None
    arguments.pop("self")
    if "batch_size" in arguments or "validation_batch_size" in arguments:
        raise FatalValueError(
            "`batch_size` is a hyperparameter: leave it out of the search's arguments, and give "
            "the hypermodel `batch_size=64` to keep it at one value."
        )
    x = arguments.get("x")
    if x is None or not (isinstance(x, tf.data.Dataset) or hasattr(x, "shape")):
        raise FatalValueError(
            "`x` must be an array or a `tf.data.Dataset`, whose batches can be resized; got "
            f"{type(x).__name__}."
        )
    validation = arguments.get("validation_data")
    if not isinstance(validation, (tuple, list, tf.data.Dataset, type(None))):
        raise FatalValueError(
            "`validation_data` must be a tuple of arrays or a `tf.data.Dataset`; got "
            f"{type(validation).__name__}."
        )
    for data, steps in (("x", "steps_per_epoch"), ("validation_data", "validation_steps")):
        if arguments.get(steps) is None and is_endless(arguments.get(data)):
            raise FatalValueError(
                f"`{data}` never ends, nor would an epoch; leave out `.repeat()`, or give "
                f"`{steps}`."
            )
    return arguments


def with_batch_size(arguments, batch_size):
    """The arguments of `fit` for batches of this size."""
    arguments = dict(arguments)
    validation = arguments.get("validation_data")
    if isinstance(validation, tf.data.Dataset):
        arguments["validation_data"] = in_batches(validation, batch_size)
    elif validation is not None:
        arguments["validation_batch_size"] = batch_size
    if isinstance(arguments["x"], tf.data.Dataset):
        arguments["x"] = in_batches(arguments["x"], batch_size)
        arguments["shuffle"] = False  # that is for the dataset to do
    else:
        arguments["batch_size"] = batch_size
    return arguments


def is_batched(dataset):
    """Whether the elements of a dataset of images are batches of them."""
    return tf.nest.flatten(dataset.element_spec)[0].shape.rank != 3


def is_endless(data):
    """Whether the data are a dataset that is known not to end."""
    return isinstance(data, tf.data.Dataset) and data.cardinality() == tf.data.INFINITE_CARDINALITY


def in_batches(dataset, batch_size):
    """A dataset of images, batched or not, in batches of this size."""
    if not is_batched(dataset):
        return dataset.batch(batch_size)
    if is_endless(dataset):
        return dataset.rebatch(batch_size)
    # TensorFlow's own count of rebatched batches is too high. Where Keras finds the end of an
    # epoch by running into it, that half step counts as one for the optimizer and for dropout.
    if dataset not in _NUM_IMAGES:
        _NUM_IMAGES[dataset] = sum(int(tf.shape(tf.nest.flatten(batch)[0])[0]) for batch in dataset)
    num_batches = -(-_NUM_IMAGES[dataset] // batch_size)
    return dataset.rebatch(batch_size).apply(tf.data.experimental.assert_cardinality(num_batches))


# Counted once a search, as that takes a pass over the data.
_NUM_IMAGES = weakref.WeakKeyDictionary()


def data_order():
    """A callback that gives every epoch its own order of the library's datasets.

    Setting it once before training is not enough: on JAX and torch Keras looks at a batch first,
    which reads a small dataset to its end.
    """
    return keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: datasets.set_epoch(epoch)
    )
