"""What can be seen of the data before a training starts."""

import hashlib
import sys
import warnings

import keras
import numpy as np
from keras import ops

from keras_deepfake._classes import class_names_of, find_fake
from keras_deepfake._pixels import TOLERANCE
from keras_deepfake.models.divergence_check import DivergenceCheck


def checked_fit_arguments(model, arguments):
    """Check the arguments of a `fit` that is about to start, and let it stop at NaN.

    Arrays, `keras.utils.PyDataset` and `tf.data.Dataset` are looked at, the last by its first
    batch only before the first training of a model; generators are left alone.

    Args:
        model: A compiled Keras model of images.
        arguments: Dictionary of the arguments of `keras.Model.fit`.

    Returns:
        The arguments, with a `DivergenceCheck` as the first callback.

    Raises:
        ValueError: for no images, no batches, no targets, pixels that are not finite, classes in
            another order than the model's, class numbers where the loss expects one-hot labels,
            and those that no column has.
    """
    x, y = arguments.get("x"), arguments.get("y")
    first_training = not getattr(model, "_data_seen", False)
    batch = _first_batch(x, y, arguments.get("batch_size") or 32, read=first_training)
    model._data_seen = True
    # For `ResumeTraining`: a callback does not see the data.
    model._data_digest = _digest(x, y, batch)
    _check(model, x, batch, "x", y)

    validation = arguments.get("validation_data")
    if validation is not None:
        pair = keras.utils.unpack_x_y_sample_weight(validation)[:2]
        data = pair if isinstance(validation, (tuple, list)) else (validation, None)
        batch = _first_batch(*data, arguments.get("validation_batch_size") or 32, read=False)
        _check(model, data[0], batch, "validation_data", data[1])
    return {**arguments, "callbacks": _with_check(model, arguments.get("callbacks"))}


def _with_check(model, callbacks):
    check = DivergenceCheck()
    if isinstance(callbacks, keras.callbacks.CallbackList):
        # Keras takes a ready list as it is; it may serve several trainings.
        if not any(isinstance(callback, DivergenceCheck) for callback in callbacks.callbacks):
            check.set_model(model)
            check.set_params(callbacks.params)
            callbacks.callbacks.insert(0, check)
        return callbacks
    return [check, *keras.tree.flatten(callbacks or [])]


def _first_batch(x, y, batch_size, read):
    """Images and targets of the first batch, or their `tf.TypeSpec`s; `None` for what lacks."""
    tensorflow = sys.modules.get("tensorflow")
    if isinstance(x, keras.utils.PyDataset):
        batch = x[0]
    elif tensorflow is not None and isinstance(x, tensorflow.data.Dataset):
        # Datasets of this library need not be read to be known.
        read = read and not hasattr(x, "data_digest")
        batch = next(iter(x.take(1)), None) if read else None
        batch = x.element_spec if batch is None else batch
    elif _is_array(x):
        batch = (x[:batch_size], y[:batch_size] if _is_array(y) else y)
    else:
        return None, None
    return keras.utils.unpack_x_y_sample_weight(batch)[:2]


def _has_known_rank(part):
    return hasattr(part, "shape") and getattr(part.shape, "rank", 0) is not None


def _is_array(value):
    return hasattr(value, "shape") and hasattr(value, "dtype") and hasattr(value, "__getitem__")


def _is_spec(value):
    return not hasattr(value, "__getitem__")


def _digest(x, y, batch):
    """A digest of what is the same each time a program trains on this data, or `None`."""
    if not _is_array(x):
        return getattr(x, "data_digest", None)
    digest = hashlib.sha256(f"{x.shape} {getattr(y, 'shape', None)}".encode())
    for part in batch:
        if _is_array(part):
            part = ops.convert_to_numpy(part)
            digest.update(f"{part.shape} {part.dtype}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _check(model, data, batch, name, all_labels):
    check_classes(model, data, name)
    images, labels = batch
    if images is not None and labels is None and getattr(model, "loss", None) is not None:
        raise ValueError(
            f"`{name}` comes without the targets that the loss compares with: give `fit(x, y)`, "
            "`validation_data=(x, y)`, or a dataset of pairs. Those of an autoencoder are the "
            "images themselves: `fit(images, images)`."
        )
    images, labels = (part if _has_known_rank(part) else None for part in batch)
    if images is not None and images.shape[0] == 0:
        raise ValueError(f"`{name}` holds no images.")
    if images is not None and len(images.shape) == len(model.inputs[0].shape) - 1:
        raise ValueError(
            f"`{name}` has no batches: its images have the shape {tuple(images.shape)}, and the "
            f"model takes {tuple(model.inputs[0].shape)}. Give a dataset `.batch(32)`, and a "
            "single image as `image[None]`."
        )
    if labels is not None:
        _check_labels(model, all_labels if _is_array(all_labels) else labels, name)
    if images is not None and len(images.shape) == 4:
        _check_pixels(images, name)


def check_classes(model, data, argument):
    """Raise if data that has class names has them in another order than the model."""
    names, own = class_names_of(data), class_names_of(model)
    if names is None or own is None:
        return
    if tuple(map(str.casefold, names)) == tuple(map(str.casefold, own)):
        return
    fits = False
    if len(names) == len(own) == 2:
        try:
            fake_index = getattr(model, "fake_index", None)
            fake_index = find_fake(own) if fake_index is None else fake_index
            fits = find_fake(names) == fake_index
        except ValueError:  # names that say nothing are only the same if they are equal
            fits = False
    if not fits:
        raise ValueError(
            f"The classes of `{argument}` are {names}, those of the model {own}: labels of the one "
            "would mean other classes in the other. Read the images with "
            f"`class_names={own}`, or make the model with `class_names={names}`."
        )


def groups_of(data, groups, argument):
    """What images belong together, in the order of the data: as given, else as the data says."""
    if groups is None:
        groups = getattr(data, "groups", None)
    if groups is not None and getattr(data, "shuffled_order", None) is not None:
        raise ValueError(
            f"`{argument}` must not be shuffled where images have groups, as nobody could tell "
            "whose group each is; give the `ImageIndex`, or a dataset with `shuffle_buffer=0`."
        )
    return groups


def _check_labels(model, labels, argument):
    columns = model.output_shape[-1] if isinstance(model.output_shape, tuple) else None
    shape = tuple(labels.shape)
    is_one_column = len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)
    if is_one_column and columns is not None and columns > 1 and _is_one_hot_loss(model.loss):
        raise ValueError(
            f"The labels of `{argument}` are class numbers (shape {shape}), and the loss "
            f'compares {columns} columns. Compile with `loss="sparse_categorical_crossentropy"`,'
            f" or make the labels one-hot: `keras.utils.to_categorical(labels, {columns})`; "
            '`label_mode="categorical"` in `image_dataset_from_directory`.'
        )
    if is_one_column and columns is not None and columns > 1 and takes_class_numbers(model.loss):
        _check_numbers(labels, columns, argument)


def _check_numbers(labels, columns, argument):
    if _is_spec(labels):
        return
    labels = ops.convert_to_numpy(labels)
    # JAX would train on numbers that no column has.
    if not np.isin(labels, range(columns)).all():
        raise ValueError(
            f"The labels of `{argument}` must be class numbers from 0 to {columns - 1}, one for "
            f"each column of the model; got values such as {np.unique(labels)[:3].tolist()}."
        )


def takes_class_numbers(loss):
    """Whether a loss of several columns expects class numbers."""
    names = ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy")
    return loss in names or _function(loss) is keras.losses.sparse_categorical_crossentropy


def _is_one_hot_loss(loss):
    return _function(keras.losses.get(loss) if isinstance(loss, str) else loss) in (
        keras.losses.binary_crossentropy,
        keras.losses.binary_focal_crossentropy,
        keras.losses.categorical_crossentropy,
        keras.losses.categorical_focal_crossentropy,
    )


def _function(loss):
    """The function that a loss of Keras computes, or the loss itself."""
    return getattr(loss, "fn", loss)


def _check_pixels(images, argument):
    finding = "dtype uint8"
    if "uint8" not in str(images.dtype):
        if _is_spec(images):
            return
        images = ops.convert_to_numpy(images).astype("float32")
        low, high = images.min(initial=0.0), images.max(initial=0.0)
        if not np.isfinite(low + high):
            raise ValueError(
                f"`{argument}` must hold finite pixel values; its first batch has NaN or infinity."
            )
        if low >= -TOLERANCE and high <= 1 + TOLERANCE:
            return
        finding = f"values from {low:g} to {high:g}"
    warnings.warn(
        f"`{argument}` should hold pixel values in [0, 1], which all of the library expects; its "
        f"first batch has {finding}. Divide by 255, or map the dataset through "
        "`keras.layers.Rescaling(1 / 255)`.",
        stacklevel=5,
    )
