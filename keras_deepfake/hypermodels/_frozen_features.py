"""Outputs of a frozen encoder, computed once and trained on many times."""

import hashlib
import pathlib
import tempfile

import keras
import numpy as np
import tensorflow as tf

from keras_deepfake import datasets

# Features beyond this many bytes are kept in a memory-mapped file.
MAX_BYTES_IN_MEMORY = 2**30
ENCODING_BATCH_SIZE = 32


class FrozenFeatures:
    """Trains the head of a classifier on the kept outputs of its frozen encoder.

    Features are kept for one encoder at a time, told apart by its weights, and for the very
    data objects they were computed from.
    """

    def __init__(self):
        self._encoder = None
        self._kept = {}

    def can_hold(self, arguments):
        """Whether every part of the data is finite and the same in every epoch."""
        if {"steps_per_epoch", "validation_steps", "validation_split"} & arguments.keys():
            return False
        parts = [arguments["x"], arguments.get("validation_data")]
        return not any(
            part.cardinality() == tf.data.INFINITE_CARDINALITY
            or _is_random(part)
            # The order of a dataset of the library is known only where nothing comes after it.
            or any(
                _library_order(stage) is not None for stage in _stages(part) if stage is not part
            )
            for part in parts
            if isinstance(part, tf.data.Dataset)
        )

    def fit(self, model, arguments, batch_size, metrics, seed):
        """Fits the part of `model` after the encoder; callbacks see the whole `model`.

        Args:
            model: Compiled `EncoderClassifier` with a frozen encoder.
            arguments: Arguments of `keras.Model.fit` by name.
            batch_size: Integer.
            metrics: Metrics as those of `model`, not yet in use.
            seed: Integer, of the order in which datasets are shuffled.

        Returns:
            The `History`.
        """
        arguments = dict(arguments)
        self._keep_for(model.encoder)
        features = keras.Input(model.encoder.output_shape[1:], dtype=model.encoder.outputs[0].dtype)
        x = features
        for layer in model.layers[model.layers.index(model.encoder) + 1 :]:
            x = layer(x)
        head = keras.Model(features, x)
        # The same optimizer, so that callbacks which change its learning rate change this one.
        head.compile(optimizer=model.optimizer, loss=model.loss, metrics=metrics)

        arguments.update(self._training_data(model.encoder, arguments, batch_size, seed))
        validation = arguments.get("validation_data")
        if validation is not None:
            arguments["validation_data"] = self._validation_data(
                model.encoder, validation, batch_size
            )
            arguments["validation_batch_size"] = batch_size
        arguments["callbacks"] = _WholeModelCallbacks(head, model, arguments, batch_size)
        head.history = model.history
        return head.fit(**arguments)

    def _keep_for(self, encoder):
        digest = hashlib.sha256(repr(encoder.get_config()).encode())
        for weight in encoder.get_weights():
            digest.update(np.ascontiguousarray(weight).tobytes())
        if self._encoder != digest.digest():
            self._encoder, self._kept = digest.digest(), {}

    def _training_data(self, encoder, arguments, batch_size, seed):
        x = arguments["x"]
        data = self._encoded(encoder, x)
        initial_epoch = arguments.get("initial_epoch", 0)
        if isinstance(x, tf.data.Dataset):
            order = _order(x, len(data.features), seed)
        elif isinstance(data.features, np.memmap):
            order = None
            if arguments.get("shuffle", True):
                order = _random_order(len(data.features), seed)
            rest = [arguments[name] for name in ("y", "sample_weight") if name in arguments]
            data = _Data(data.features, [np.asarray(part) for part in rest])
        else:
            # Keras shuffles features as it does images.
            return {"x": data.features, "batch_size": batch_size}
        batches = _FeatureBatches(data, batch_size, order, initial_epoch)
        return {"x": batches, "y": None, "sample_weight": None, "shuffle": False}

    def _validation_data(self, encoder, validation, batch_size):
        if isinstance(validation, tf.data.Dataset):
            return _FeatureBatches(self._encoded(encoder, validation), batch_size)
        images, *rest = validation
        data = self._encoded(encoder, images)
        if isinstance(data.features, np.memmap):
            data = _Data(data.features, [np.asarray(part) for part in rest])
            return _FeatureBatches(data, batch_size)
        return (data.features, *rest)

    def _encoded(self, encoder, source):
        # The source is kept with its features, so that no other object can get its identity.
        if id(source) not in self._kept:
            self._kept[id(source)] = (source, _Data.encode(encoder, source))
        return self._kept[id(source)][1]


class _Data:
    """Features, and what belongs to them in the same order: labels, perhaps weights."""

    def __init__(self, features, rest, folder=None):
        self.features, self.rest, self.folder = features, rest, folder

    @classmethod
    def encode(cls, encoder, source):
        folder = None
        row_bytes = (
            int(np.prod(encoder.output_shape[1:]))
            * np.dtype(keras.backend.standardize_dtype(encoder.outputs[0].dtype)).itemsize
        )
        rest = []
        if isinstance(source, tf.data.Dataset):
            datasets.set_epoch(0)
            batches = source
            if tf.nest.flatten(source.element_spec)[0].shape.rank == 3:
                batches = source.batch(ENCODING_BATCH_SIZE)
        else:
            batches = (
                (source[start : start + ENCODING_BATCH_SIZE],)
                for start in range(0, len(source), ENCODING_BATCH_SIZE)
            )
        chunks, path, count = [], None, 0
        for images, *others in batches:
            chunks.append(encoder.predict_on_batch(_array(images)))
            rest.append([_array(part) for part in others])
            count += len(chunks[-1])
            if path is None and count * row_bytes > MAX_BYTES_IN_MEMORY:
                folder = tempfile.TemporaryDirectory(prefix="keras_deepfake-features-")
                path = pathlib.Path(folder.name, "features")
            if path is not None:
                dtype = chunks[0].dtype
                with open(path, "ab") as file:
                    file.writelines(np.ascontiguousarray(chunk).tobytes() for chunk in chunks)
                chunks = []
        if path is None:
            features = np.concatenate(chunks)
        else:
            features = np.memmap(path, dtype, "r", shape=(count, *encoder.output_shape[1:]))
        rest = [np.concatenate(parts) for parts in zip(*rest, strict=True)]
        if isinstance(source, tf.data.Dataset):
            order = _library_order(source)
            if order is not None:
                # Back into the order of the index, which that of every epoch refers to.
                order.epoch = 0
                positions = np.argsort(order.positions())
                rest = [part[positions] for part in rest]
                return cls(_Reordered(features, positions), rest, folder)
        return cls(features, rest, folder)


class _Reordered:
    """Rows of an array in another order, without a copy of it."""

    def __init__(self, array, positions):
        self.array, self.positions = array, positions

    def __len__(self):
        return len(self.array)

    def __getitem__(self, places):
        return self.array[self.positions[places]]


class _FeatureBatches(keras.utils.PyDataset):
    """Batches in an order that is a function of the epoch; `None` is the order of the data."""

    def __init__(self, data, batch_size, order=None, epoch=0):
        super().__init__()
        self.data, self.batch_size, self.order = data, batch_size, order
        self.set_epoch(epoch)

    def __len__(self):
        return -(-len(self.data.features) // self.batch_size)

    def __getitem__(self, index):
        places = self.positions[index * self.batch_size : (index + 1) * self.batch_size]
        return (self.data.features[places], *(part[places] for part in self.data.rest))

    def set_epoch(self, epoch):
        # Called from a callback: Keras calls `on_epoch_end` more than once an epoch.
        if self.order is None:
            self.positions = np.arange(len(self.data.features))
        else:
            self.positions = self.order(epoch)


class _WholeModelCallbacks(keras.callbacks.CallbackList):
    """Callbacks of a whole model while only its head is trained.

    Checkpoints so hold the whole model, and the history is the model's own.
    """

    def __init__(self, head, model, arguments, batch_size):
        self.head, self.data = head, arguments["x"]
        verbose = arguments.get("verbose", "auto")
        is_batched = isinstance(self.data, _FeatureBatches)
        steps = len(self.data) if is_batched else -(-len(self.data) // batch_size)
        super().__init__(
            arguments.get("callbacks"),
            add_history=True,
            add_progbar=verbose != 0,
            model=model,
            verbose=verbose,
            epochs=arguments.get("epochs", 1),
            steps=steps,
        )
        model.stop_training = False

    def on_epoch_begin(self, epoch, logs=None):
        if isinstance(self.data, _FeatureBatches):
            self.data.set_epoch(epoch)
        super().on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self._synchronize()
        super().on_train_batch_end(batch, logs)
        self._stop()

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self._stop()

    def _synchronize(self):
        # On JAX the variables are out of date within an epoch until they are asked for.
        if hasattr(self.head, "jax_state_sync"):
            self.head.jax_state_sync()

    def _stop(self):
        self.head.stop_training |= self.model.stop_training


def _library_order(dataset):
    _, order = getattr(dataset, "_keras_deepfake_state", (None, None))
    return order


def _order(dataset, size, seed):
    order = _library_order(dataset)
    if order is not None:

        def positions(epoch):
            order.epoch = epoch
            return order.positions()

        return positions
    return _random_order(size, seed) if _is_shuffled(dataset) else None


def _random_order(size, seed):
    return lambda epoch: np.random.default_rng([seed, epoch]).permutation(size)


def _is_shuffled(dataset):
    return any("Shuffle" in type(stage).__name__ for stage in _stages(dataset))


def _is_random(dataset):
    """Whether a function of the dataset draws random numbers, as an augmentation does."""
    for stage in _stages(dataset):
        for function in stage._functions():
            graph = function.function.graph.as_graph_def()
            inner = [node for nested in graph.library.function for node in nested.node_def]
            if any("Random" in node.op for node in [*graph.node, *inner]):
                return True
    return False


def _stages(dataset):
    yield dataset
    for source in dataset._inputs():
        yield from _stages(source)


def _array(part):
    return keras.ops.convert_to_numpy(part) if keras.ops.is_tensor(part) else np.asarray(part)
