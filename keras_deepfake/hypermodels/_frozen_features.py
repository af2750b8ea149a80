"""Outputs of a frozen encoder, computed once and trained on many times."""

import hashlib
import json
import pathlib
import tempfile

import keras
import numpy as np
import tensorflow as tf
from keras_tuner.errors import FatalValueError

from keras_deepfake import datasets
from keras_deepfake.hypermodels._fit_arguments import is_batched
from keras_deepfake.models.prediction import predict_batch
from keras_deepfake.models.solved_head import solve_head

ENCODING_BATCH_SIZE = 32
# Arguments of `fit` that mean nothing to a head that is solved.
_UNSOLVABLE = {
    "class_weight",
    "sample_weight",
    "steps_per_epoch",
    "validation_split",
    "validation_steps",
}


class FrozenFeatures:
    """Trains the head of a classifier on the kept outputs of its frozen encoder.

    Args:
        most_encoders: Integer, for how many encoders outputs are kept at a time.
    """

    def __init__(self, most_encoders):
        self._most_encoders = most_encoders
        self._encoders = {}

    def fit(self, model, encoder_settings, arguments, batch_size, metrics, seed):
        """Fits the part of `model` after the encoder; callbacks see the whole `model`.

        Args:
            model: Compiled `EncoderClassifier` with a frozen encoder.
            encoder_settings: Dictionary, from which and from the weights the encoder follows.
            arguments: Arguments of `keras.Model.fit` by name.
            batch_size: Integer.
            metrics: Metrics as those of `model`, not yet in use.
            seed: Integer, of the order of datasets whose own is not known.

        Returns:
            The `History`.
        """
        arguments = dict(arguments)
        kept = self._kept_for(model.encoder, encoder_settings)
        # The graph from what the next layer takes on.
        first = model.layers[model.layers.index(model.encoder) + 1]
        head = keras.Model(first.input, model.output)
        # The same optimizer, so that callbacks which change its learning rate change this one.
        head.compile(optimizer=model.optimizer, loss=model.loss, metrics=metrics)

        x, validation = arguments["x"], arguments.get("validation_data")
        if isinstance(x, tf.data.Dataset):
            arguments["x"] = _encoded(model.encoder, x, kept).batches(
                batch_size, seed, arguments.get("initial_epoch", 0)
            )
            arguments["shuffle"] = False
        else:
            # Keras shuffles features as it does images.
            arguments.update(x=_encoded(model.encoder, x, kept), batch_size=batch_size)
        if isinstance(validation, tf.data.Dataset):
            validation = _encoded(model.encoder, validation, kept).batches(batch_size)
            arguments["validation_data"] = validation
        elif validation is not None:
            images, *rest = validation
            arguments["validation_data"] = (_encoded(model.encoder, images, kept), *rest)
            arguments["validation_batch_size"] = batch_size
        arguments["callbacks"] = _WholeModelCallbacks(head, model, arguments)
        head.history = model.history
        return head.fit(**arguments)

    def solve(self, model, encoder_settings, arguments, l2, metrics, is_kept):
        """Solves the head of `model`; callbacks see one epoch of it.

        Args:
            model: As for `fit`.
            encoder_settings: As for `fit`.
            arguments: Arguments of `keras.Model.fit` by name.
            l2: Float above 0, the penalty.
            metrics: Metrics as those of `model`, not yet in use.
            is_kept: Boolean, whether the outputs of the encoder serve later trials too.

        Returns:
            The `History`.
        """
        if unfit := _UNSOLVABLE & arguments.keys():
            raise FatalValueError(
                f"A head that is solved takes all images once and alike; leave out "
                f"{sorted(unfit)}, or search with `head='trained'`."
            )
        kept = self._kept_for(model.encoder, encoder_settings) if is_kept else {}
        first = model.layers[model.layers.index(model.encoder) + 1]
        head = model.get_layer("head")
        pooling = None if first is head else keras.Model(first.input, head.input)
        pairs = {"": (arguments["x"], arguments.get("y"))}
        if arguments.get("validation_data") is not None:
            validation = arguments["validation_data"]
            is_dataset = isinstance(validation, tf.data.Dataset)
            pairs["val_"] = (validation,) if is_dataset else tuple(validation)
        for images, *rest in pairs.values():
            spec = images.element_spec if isinstance(images, tf.data.Dataset) else (images, *rest)
            if len(spec) > 2:
                raise FatalValueError(
                    "A head that is solved takes all images alike; leave out the sample weights."
                )
        data = {}
        for prefix, (images, *rest) in pairs.items():
            features = _encoded(model.encoder, images, kept)
            features, labels = (
                features.parts if isinstance(images, tf.data.Dataset) else (features, *rest)
            )
            data[prefix] = (
                features if pooling is None else _array_features(pooling, features),
                np.asarray(labels),
            )
        features, labels = data[""]
        solution = solve_head(
            features,
            labels.argmax(axis=1),
            len(model.class_names),
            l2=l2,
            is_softmax=model.activation == "softmax",
        )
        head.set_weights([solution.kernel, solution.bias])

        scorer = keras.Model(head.input, model.output)
        scorer.compile(loss=model.loss, metrics=metrics)
        logs = {}
        for prefix, (features, labels) in data.items():
            values = scorer.evaluate(features, labels, verbose=0, return_dict=True)
            logs |= {f"{prefix}{name}": value for name, value in values.items()}
        callbacks = keras.callbacks.CallbackList(
            arguments.get("callbacks"), add_history=True, model=model, epochs=1, steps=1
        )
        epoch = arguments.get("initial_epoch", 0)
        callbacks.on_train_begin()
        callbacks.on_epoch_begin(epoch)
        callbacks.on_epoch_end(epoch, logs)
        callbacks.on_train_end(logs)
        return model.history

    def _kept_for(self, encoder, settings):
        """What was encoded by this encoder, which its settings and weights tell from others."""
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for weight in encoder.get_weights():
            digest.update(np.ascontiguousarray(weight).tobytes())
        kept = self._encoders.pop(digest.digest(), {})
        self._encoders[digest.digest()] = kept
        if len(self._encoders) > self._most_encoders:
            del self._encoders[next(iter(self._encoders))]
        return kept


def can_be_kept(arguments, cache_features):
    """Whether all the data are known to be the same in every epoch.

    Args:
        arguments: Arguments of `keras.Model.fit` by name.
        cache_features: Boolean, what the user says of datasets; `None` trusts only those of the
            library, to which nothing was added.
    """
    if cache_features is False:
        return False
    if {"steps_per_epoch", "validation_steps", "validation_split"} & arguments.keys():
        return False
    parts = [
        part
        for part in (arguments["x"], arguments.get("validation_data"))
        if isinstance(part, tf.data.Dataset)
    ]
    if cache_features is None:
        return all(_is_of_the_library(part) for part in parts)
    return all(part.cardinality() != tf.data.INFINITE_CARDINALITY for part in parts)


def _encoded(encoder, data, kept):
    # The data are kept with their features, so that no other object can get their identity.
    if id(data) not in kept:
        is_dataset = isinstance(data, tf.data.Dataset)
        encode = _DatasetFeatures if is_dataset else _array_features
        kept[id(data)] = (data, encode(encoder, data))
    return kept[id(data)][1]


def _array_features(encoder, images):
    return np.concatenate(
        [
            predict_batch(encoder, _array(images[start : start + ENCODING_BATCH_SIZE]))
            for start in range(0, len(images), ENCODING_BATCH_SIZE)
        ]
    )


class _DatasetFeatures:
    """The features of a dataset, in a file, and what comes with its images: labels, weights."""

    def __init__(self, encoder, dataset):
        # Not in memory: the images are not there either.
        self._folder = tempfile.TemporaryDirectory(
            prefix="keras_deepfake-features-", ignore_cleanup_errors=True
        )
        path = pathlib.Path(self._folder.name, "features")
        self._is_of_the_library = _is_of_the_library(dataset)
        self._order = getattr(dataset, "shuffled_order", None)
        datasets.set_epoch(0)
        rest = []
        with open(path, "wb") as file:
            for batch in dataset if is_batched(dataset) else dataset.batch(ENCODING_BATCH_SIZE):
                images, *others = batch if isinstance(batch, tuple) else (batch,)
                features = predict_batch(encoder, _array(images))
                file.write(np.ascontiguousarray(features).tobytes())
                rest.append([_array(part) for part in others])
        self.parts = [np.concatenate(parts) for parts in zip(*rest, strict=True)]
        shape = (len(self.parts[0]), *features.shape[1:])
        self.parts.insert(0, np.memmap(path, features.dtype, "r", shape=shape))
        if self._order is not None:
            # Where in the file each image of the index is: the orders of epochs refer to these.
            self._order.epoch = 0
            self._rows = np.argsort(self._order.positions())

    def batches(self, batch_size, seed=None, initial_epoch=0):
        """Batches in the order of the dataset in each epoch, or in one drawn by the seed."""
        order = None
        if seed is not None and self._order is not None:
            order = self._library_rows
        elif seed is not None and not self._is_of_the_library:

            def order(epoch):
                return np.random.default_rng([seed, epoch]).permutation(len(self.parts[0]))

        return _Batches(self.parts, batch_size, order, initial_epoch)

    def _library_rows(self, epoch):
        self._order.epoch = epoch
        return self._rows[self._order.positions()]


class _Batches(keras.utils.PyDataset):
    """Batches of arrays in an order that is a function of the epoch; `None` is their own."""

    def __init__(self, parts, batch_size, order, epoch):
        super().__init__()
        self.parts, self.batch_size, self.order = parts, batch_size, order
        self.rows = np.arange(len(parts[0]))
        self.set_epoch(epoch)

    def __len__(self):
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, index):
        rows = self.rows[index * self.batch_size : (index + 1) * self.batch_size]
        return tuple(part[rows] for part in self.parts)

    def set_epoch(self, epoch):
        # Called from a callback: Keras calls `on_epoch_end` more than once an epoch.
        if self.order is not None:
            self.rows = self.order(epoch)


class _WholeModelCallbacks(keras.callbacks.CallbackList):
    """Callbacks of a whole model while only its head is trained.

    Checkpoints so hold the whole model, and the history is the model's own.
    """

    def __init__(self, head, model, arguments):
        self.head, self.data = head, arguments["x"]
        is_array = not isinstance(self.data, _Batches)
        verbose = arguments.get("verbose", "auto")
        super().__init__(
            arguments.get("callbacks"),
            add_history=True,
            add_progbar=verbose != 0,
            model=model,
            verbose=verbose,
            epochs=arguments.get("epochs", 1),
            steps=-(-len(self.data) // arguments["batch_size"]) if is_array else len(self.data),
        )
        model.stop_training = False

    def on_epoch_begin(self, epoch, logs=None):
        if isinstance(self.data, _Batches):
            self.data.set_epoch(epoch)
        super().on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch, logs=None):
        # On JAX the variables are out of date within an epoch until they are asked for.
        if hasattr(self.head, "jax_state_sync"):
            self.head.jax_state_sync()
        super().on_train_batch_end(batch, logs)
        self.head.stop_training |= self.model.stop_training

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self.head.stop_training |= self.model.stop_training


def _is_of_the_library(dataset):
    """Whether a dataset is as the library made it; any further stage makes another object."""
    return hasattr(dataset, "shuffled_order")


def _array(part):
    return keras.ops.convert_to_numpy(part) if keras.ops.is_tensor(part) else np.asarray(part)
