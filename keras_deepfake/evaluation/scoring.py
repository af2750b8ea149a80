"""What a detector says about labelled images, whatever holds them."""

import hashlib

import keras
import numpy as np
import tensorflow as tf


def fake_column(class_names):
    """Position of the class named "fake", else 0."""
    return class_names.index("fake") if class_names and "fake" in class_names else 0


def scored_batches(model, data, batch_size, image_size):
    """Yield `(images, labels, outputs)` of each batch, all checked, as NumPy arrays.

    `labels` are 1 for fake; `outputs` are the model's probabilities, in one or two columns.

    Args:
        model: A Keras model.
        data: `ImageIndex`, a tuple `(images, labels)` of arrays, or batches of such.
        batch_size: Images in a batch, where the data has none of its own.
        image_size: Size to which the images of an index are resized; `None` for that of the
            model's input.
    """
    index_names = getattr(data, "class_names", None) if hasattr(data, "paths") else None
    label_column = fake_column(index_names or getattr(model, "class_names", None))
    for batch in _batches(model, data, batch_size, image_size):
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise ValueError(
                "Each batch of the data must be a pair `(images, labels)`; got "
                f"{type(batch).__name__}"
                + (f" of {len(batch)}." if isinstance(batch, (tuple, list)) else ".")
            )
        images, labels = (keras.ops.convert_to_numpy(part) for part in batch)
        _check_images(images)
        labels = _fake_labels(labels, label_column)
        if len(labels) != len(images):
            raise ValueError(
                f"Data must have a label for each image; got {len(labels)} labels for "
                f"{len(images)} images."
            )
        outputs = model.predict_on_batch(images)
        yield images, labels, check_outputs(outputs, len(images))


def fake_scores(model, outputs):
    """The probability of being fake, from one or two columns of probabilities."""
    column = fake_column(getattr(model, "class_names", None)) if outputs.shape[1] == 2 else 0
    return outputs[:, column]


def digests(images):
    """A short digest of each image as the model was given it, for finding it again."""
    images = np.asarray(images, dtype="float32")
    return [hashlib.blake2b(image.tobytes(), digest_size=6).hexdigest() for image in images]


def _batches(model, data, batch_size, image_size):
    if hasattr(data, "paths"):
        return _index_batches(model, data, batch_size, image_size)
    if image_size is not None:
        raise ValueError(
            "`image_size` is for an `ImageIndex`; arrays and datasets have their size already."
        )
    if isinstance(data, tuple) and len(data) == 2:
        images, labels = (keras.ops.convert_to_numpy(part) for part in data)
        if len(images) != len(labels):
            raise ValueError(
                f"Data must have a label for each image; got {len(labels)} labels for "
                f"{len(images)} images."
            )
        return (
            (images[start : start + batch_size], labels[start : start + batch_size])
            for start in range(0, len(images), batch_size)
        )
    if isinstance(data, keras.utils.PyDataset):
        return (data[place] for place in range(len(data)))
    if not hasattr(data, "__iter__"):
        raise ValueError(
            "Data must be an `ImageIndex`, a tuple `(images, labels)` of arrays, or a dataset of "
            f"such batches; got {type(data).__name__}."
        )
    if getattr(data, "cardinality", int)() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("The dataset never ends; leave out `.repeat()`, or add `.take(batches)`.")
    return data


def _index_batches(model, index, batch_size, image_size):
    from keras_deepfake.datasets import classification_dataset

    if index.labels is None:
        raise ValueError("The index has no labels: make it with the names of its class folders.")
    if len(index.class_names) != 2:
        raise ValueError(
            f"Detection has two classes; the index has {len(index.class_names)}: "
            f"{index.class_names}."
        )
    shape = getattr(model, "input_shape", None)
    shape = shape if isinstance(shape, tuple) and len(shape) == 4 else (None, None, None, 3)
    if 3 not in (shape[1], shape[3]):
        raise ValueError(
            f"The images of an index are RGB; the model takes {shape}. Give it arrays, or batches "
            "of a dataset that maps them to its channels."
        )
    channels_first = shape[3] != 3
    sides = shape[2:] if channels_first else shape[1:3]
    image_size = sides if image_size is None else tuple(image_size)
    if None in image_size:
        raise ValueError(
            "The model's input has no fixed size; say to which the images shall be resized: "
            "`image_size=(height, width)`."
        )
    dataset = classification_dataset(index, image_size, batch_size)
    if not channels_first:
        return dataset
    return ((keras.ops.convert_to_numpy(x).transpose(0, 3, 1, 2), y) for x, y in dataset)


def _check_images(images):
    if images.ndim != 4:
        raise ValueError(f"Images must have 4 axes, a batch of images; got shape {images.shape}.")
    low, high = images.min(initial=0), images.max(initial=0)
    # Resizing may leave the range by rounding. NaN fails both comparisons.
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise ValueError(
            f"Images must hold pixel values in [0, 1]; got values from {low:g} to {high:g}. "
            "Divide values from 0 to 255 by 255; a model that needs another range should scale "
            "inside, by a `keras.layers.Rescaling`."
        )


def _fake_labels(labels, column):
    if labels.ndim == 2 and labels.shape[1] == 1:
        return labels[:, 0]
    if labels.ndim == 2 and labels.shape[1] == 2:
        if not (np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()):
            raise ValueError("Labels in two columns must be one-hot, a 0 and a 1 in each row.")
        return labels[:, column]
    if labels.ndim != 1:
        raise ValueError(
            "Labels must have shape (images,) or (images, 1), 1 for fake, or (images, 2), "
            f"one-hot; got {labels.shape}. Detection has two classes."
        )
    return labels


def check_outputs(outputs, count):
    """Probabilities of `count` images in one or two columns, as float32, or what is wrong."""
    shape = getattr(outputs, "shape", None)
    if shape == (count,):
        outputs, shape = outputs[:, None], (count, 1)
    if shape not in ((count, 1), (count, 2)):
        raise ValueError(
            "A detector must have one output of one or two columns, as detection has two "
            f"classes; this model's is {shape or type(outputs).__name__} for {count} images."
        )
    outputs = np.asarray(outputs).astype("float32")
    # Low precision may leave the range by rounding. NaN fails both comparisons.
    if not (outputs.min(initial=0) >= -1e-3 and outputs.max(initial=0) <= 1 + 1e-3):
        raise ValueError(
            "A detector's outputs must be probabilities; this model's run from "
            f"{outputs.min():g} to {outputs.max():g}. If they are logits, put a softmax or "
            "sigmoid behind them."
        )
    return np.clip(outputs, 0, 1)
