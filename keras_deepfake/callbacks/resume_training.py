"""The callback that lets a killed training go on."""

import json
import math
import sys
import warnings
import weakref
import zipfile

import keras
import numpy as np

from keras_deepfake._arguments import check_path
from keras_deepfake._files import atomic_write, remove_leftovers
from keras_deepfake._locks import FileLock
from keras_deepfake.callbacks._random_states import checked_random_states, random_states
from keras_deepfake.callbacks._training_signature import first_difference, training_signature

FORMAT = "keras_deepfake.ResumeTraining 2"

# Far above what the description of a large network and thousands of epochs take.
_MOST_JSON_BYTES = 2**28

# By path: the locks that callbacks of this process hold, and the digests of the data of its
# trainings that have ended.
_LOCKS = weakref.WeakValueDictionary()
_ENDED = {}


class ResumeTraining(keras.callbacks.Callback):
    """Makes a training that was killed go on at its last finished epoch.

    Run the same program again after a crash, a power cut or `kill -9`, and `fit` continues
    where it was. The model ends with the weights that the uninterrupted training would have
    given: bit for bit where the backend computes reproducibly, as TensorFlow, JAX and torch do
    on a CPU. After every epoch the whole state is written to one file under a temporary name,
    flushed to the disk and renamed, so that the file is always that of one epoch as a whole.

    Restored are the model's variables (batch statistics and the states of its seed generators
    too), the optimizer's variables (its moments, step count, learning rate and averaged
    weights), the state of the global seed generators of Keras, Python, NumPy and, on its
    backend, torch, the epoch, and the history: the `History` that `fit` returns covers the
    earlier epochs too.

    Not restored are the state of other callbacks (`EarlyStopping` counts its patience anew, and
    `restore_best_weights` takes the best since the crash) and that of the data: the order of the
    images must not depend on what the process read before. That holds for the datasets of
    `keras_deepfake.datasets`, for arrays (after `keras.utils.set_random_seed`), and for every
    `tf.data` pipeline that is not reshuffled from epoch to epoch and draws nothing else: random
    layers mapped over a dataset begin anew. Inside the model they go on, as their states are its
    own.

    The file of a finished training stays where it is. Running the program again restores the
    model and trains nothing; with more `epochs` it goes on from the weights that the training
    ended with. A training that another callback stopped counts as finished. Whenever `fit` trains
    nothing, a warning says so. Delete the file to start afresh.

    Give each `fit` of a program a file of its own. A file is refused if the backend, the model's
    configuration or variables, the optimizer with its learning rate, the loss, or the number of
    batches have changed, and so is one that another `fit` of the process has finished: the folds
    of a cross-validation would inherit each other's weights. Models of this library also compare
    the data, arrays by their first batch and datasets of `keras_deepfake.datasets` by the list
    of their images; on the same data they may go on in the same process. While a training runs,
    other processes are refused.

    Args:
        path: Path of the file that keeps the state. Its folder is made if need be.

    Raises:
        ValueError: When `fit` starts, if the file is damaged, was written for another training
            or by another `fit` of the process, is in use, or has more finished epochs than `fit`
            is to run. Then neither the model nor a random state has changed.

    Put the callback last in `callbacks`: then what the others change at the end of an epoch,
    such as the learning rate, is in the file.

    Example:
    ```python
    import tempfile

    images = np.random.default_rng(0).random((8, 16, 16, 3))
    path = f"{tempfile.mkdtemp()}/resume.state"

    def train(epochs):
        keras.utils.set_random_seed(0)
        model = kd.models.ConvAutoencoder((16, 16, 3), filters=(4,))
        model.compile()
        return model.fit(
            images, images, epochs=epochs, verbose=0, callbacks=[kd.callbacks.ResumeTraining(path)]
        )

    train(epochs=1)
    history = train(epochs=3)  # runs two more epochs
    assert history.epoch == [0, 1, 2]
    ```
    """

    def __init__(self, path):
        super().__init__()
        self.path = check_path("path", path)

    def on_train_begin(self, logs=None):
        if not self.model.built:
            raise ValueError(
                f"`ResumeTraining` needs a model that is built before `fit`; {self.model.name!r} "
                "is not. Give it an `Input`, or call it on a batch first."
            )
        if self.path.is_dir():
            raise ValueError(f"`path` must name a file; {str(self.path)!r} is a folder.")
        optimizer = self.model.optimizer
        if optimizer is not None and not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        self._done = False
        self._state = {"epochs": self.params["epochs"], "complete": False, "epoch": [], "logs": []}
        self._signature = training_signature(
            self.model, self.params.get("steps"), self._variables()
        )
        self._hold()
        try:
            if self.path.exists():
                if self._signature["digest_of_data"] is None and self.path.resolve() in _ENDED:
                    raise ValueError(
                        f"`path`={str(self.path)!r} is the file of another `fit` of this process, "
                        "which has ended. Give each `fit` a file of its own, or delete this one to "
                        "train afresh."
                    )
                self._restore()
            else:
                # A path that cannot be written to shows now, not after the first epoch.
                self._save()
        except BaseException:
            self._release()
            raise
        if self.model._initial_epoch and self.model._initial_epoch >= self.params["epochs"]:
            warnings.warn(
                f"`fit` trains nothing: {str(self.path)!r} holds all "
                f"{_finished(self._state)} epochs, and the model has their weights. Delete the "
                "file to train afresh.",
                stacklevel=2,
            )

    def on_epoch_begin(self, epoch, logs=None):
        # Or a later `fit` of the same model would start at this epoch too.
        self.model._initial_epoch = None
        # Not imported here: it brings TensorFlow, and data may come from elsewhere.
        datasets = sys.modules.get("keras_deepfake.datasets")
        if datasets is not None:
            datasets.set_epoch(epoch)

    def on_epoch_end(self, epoch, logs=None):
        values = {name: np.asarray(value) for name, value in (logs or {}).items()}
        self._state["epoch"].append(epoch)
        self._state["logs"].append(
            {name: value.tolist() for name, value in values.items() if value.dtype.kind in "biuf"}
        )
        self._state["complete"] = bool(self.model.stop_training)
        self._save()

    def on_train_end(self, logs=None):
        if self._done:
            # `fit` has just put an optimizer's averaged weights in place; those of the file may
            # have been chosen otherwise, as by `EarlyStopping`.
            self._restore()
        else:
            self._state["complete"] = True
            self._save()
        self.model._initial_epoch = None
        self.model.history.epoch = list(self._state["epoch"])
        _ENDED[self.path.resolve()] = self._signature["digest_of_data"]
        self._release()

    def _hold(self):
        key = self.path.resolve()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # A training of this process that an exception ended may hold the lock still.
        self._lock = _LOCKS.get(key)
        if self._lock is None:
            self._lock = FileLock(self.path.with_name(f".{self.path.name[:100]}.lock"))
            _LOCKS[key] = self._lock
        remove_leftovers(self.path)

    def _release(self):
        self._lock.release()
        self._lock = None
        _LOCKS.pop(self.path.resolve(), None)

    def _variables(self):
        optimizer = self.model.optimizer
        return [*self.model.variables, *(optimizer.variables if optimizer is not None else [])]

    def _save(self):
        state = {
            "format": FORMAT,
            "signature": self._signature,
            "random": random_states(),
            **self._state,
        }
        with atomic_write(self.path, "wb") as file, zipfile.ZipFile(file, "w") as archive:
            archive.writestr("state.json", json.dumps(state))
            for i, variable in enumerate(self._variables()):
                archive.writestr(f"variables/{i}", np.asarray(variable).tobytes())

    def _restore(self):
        try:
            with zipfile.ZipFile(self.path) as archive:
                state = self._read_state(archive)
                mismatch = self._mismatch(state)
                if mismatch is None:
                    _check_progress(state)
                    self._check_members(archive)
                    values = self._read_variables(archive)
                    restore_random_states = checked_random_states(state["random"])
        except OSError:
            raise
        except Exception as error:  # a file that is not ours can fail in any way
            raise ValueError(
                f"{str(self.path)!r} is damaged or was not written by `ResumeTraining`: {error!r}. "
                "Delete it to start the training afresh."
            ) from error
        if mismatch is not None:
            raise ValueError(
                f"{str(self.path)!r} does not fit this training: {mismatch}. Mend this, or delete "
                "the file (or give another `path`) to start a training afresh."
            )
        # Nothing of the model has changed before all is read and checked.
        for variable, value in zip(self._variables(), values, strict=True):
            variable.assign(value)
        restore_random_states()
        history = {}
        for logs in state["logs"]:
            for name, value in logs.items():
                history.setdefault(name, []).append(value)
        self.model.history.history = history
        asked = self.params["epochs"]
        self._done = state["complete"] and asked <= state["epochs"]
        self.model._initial_epoch = asked if self._done else _finished(state)
        self._state = {name: state[name] for name in self._state} | {"epochs": asked}

    def _read_state(self, archive):
        members = archive.infolist()
        # `_save` compresses nothing, so that no file of its own unpacks to more than it takes.
        if (
            any(member.compress_type != zipfile.ZIP_STORED for member in members)
            or sum(member.file_size for member in members) > self.path.stat().st_size
            or archive.getinfo("state.json").file_size > _MOST_JSON_BYTES
        ):
            raise ValueError("it unpacks to more than was written")
        return json.loads(archive.read("state.json"))

    def _check_members(self, archive):
        found = sorted((member.filename, member.file_size) for member in archive.infolist())
        expected = [("state.json", archive.getinfo("state.json").file_size)]
        for i, variable in enumerate(self._variables()):
            # NumPy knows bfloat16 through Keras's ml_dtypes.
            size = math.prod(variable.shape) * np.dtype(variable.dtype).itemsize
            expected.append((f"variables/{i}", size))
        if found != sorted(expected):
            raise ValueError("it has other members, or of other sizes, than the model needs")

    def _read_variables(self, archive):
        values = []
        for i, variable in enumerate(self._variables()):
            content = bytearray(archive.read(f"variables/{i}"))
            value = np.frombuffer(content, np.dtype(variable.dtype)).reshape(variable.shape)
            if "float" in variable.dtype and not _is_finite(value) and _is_finite(variable):
                raise ValueError(f"{variable.path!r} has values that are not finite")
            values.append(value)
        return values

    def _mismatch(self, state):
        """Say in what the state differs from the training that is about to start, if it does."""
        if state["format"] != FORMAT:
            return f"its format is {state['format']!r}, and this release reads {FORMAT!r}"
        if state["signature"] != self._signature:
            return first_difference(state["signature"], self._signature)
        if _finished(state) > self.params["epochs"]:
            return (
                f"it holds {_finished(state)} finished epochs, more than "
                f"`epochs={self.params['epochs']}`"
            )
        return None


def _finished(state):
    return state["epoch"][-1] + 1 if state["epoch"] else 0


def _is_finite(values):
    return bool(np.isfinite(np.asarray(values).astype("float64")).all())


def _check_progress(state):
    """Raise unless epochs and history are such as a training writes them."""
    if type(state["complete"]) is not bool or type(state["epochs"]) is not int:
        raise ValueError("`complete` must be a boolean, and `epochs` an integer")
    epoch = state["epoch"]
    first = epoch[0] if epoch else 0
    if (
        any(type(number) is not int for number in epoch)
        or epoch != list(range(first, first + len(epoch)))
        or not 0 <= first <= _finished(state) <= state["epochs"]
    ):
        raise ValueError(f"the epochs are {epoch} of {state['epochs']}")
    if len(state["logs"]) != len(epoch):
        raise ValueError(f"{len(epoch)} epochs have {len(state['logs'])} entries in the history")
    shapes = {}
    for logs in state["logs"]:
        for name, value in logs.items():
            value = np.array(value)
            shape = shapes.setdefault(name, value.shape)
            if value.dtype.kind not in "biuf" or value.shape != shape:
                raise ValueError(f"the history of {name!r} is not one of numbers")
