"""The callback that lets a killed training go on."""

import json
import math
import os
import random
import re
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR, global_seed_generator

FORMAT = "keras_deepfake.ResumeTraining 1"


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
    `tf.data` pipeline that is not reshuffled from epoch to epoch.

    The file of a finished training stays where it is. Running the program again restores the
    model and trains nothing; with more `epochs` it goes on from the weights that the training
    ended with. A training that another callback stopped counts as finished. Delete the file to
    start afresh, and give each `fit` of a program a file of its own.

    Args:
        path: Path of the file that keeps the state. Its folder is made if need be.

    Raises:
        ValueError: When `fit` starts, if the file is damaged, was written for another model,
            optimizer or backend, or has more finished epochs than `fit` is to run.

    Put the callback last in `callbacks`: then what the others change at the end of an epoch,
    such as the learning rate, is in the file.

    Example:
    ```python
    import tempfile

    images = np.random.default_rng(0).random((8, 16, 16, 3))
    path = f"{tempfile.mkdtemp()}/resume.state"

    def train(epochs):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(3, 1)])
        model.compile("adam", "mse")
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
        self.path = Path(path)

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
        self._state = {
            "epochs": self.params["epochs"],
            "complete": False,
            "epoch": [],
            "history": {},
        }
        if self.path.exists():
            self._restore()
        else:
            # A path that cannot be written to shows now, not after the first epoch.
            self._save()

    def on_epoch_begin(self, epoch, logs=None):
        # Or a later `fit` of the same model would start at this epoch too.
        self.model._initial_epoch = None
        # Not imported here: it brings TensorFlow, and data may come from elsewhere.
        datasets = sys.modules.get("keras_deepfake.datasets")
        if datasets is not None:
            datasets.set_epoch(epoch)

    def on_epoch_end(self, epoch, logs=None):
        self._state["epoch"].append(epoch)
        for name, value in (logs or {}).items():
            self._state["history"].setdefault(name, []).append(np.asarray(value).tolist())
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

    def _variables(self):
        optimizer = self.model.optimizer
        return [*self.model.variables, *(optimizer.variables if optimizer is not None else [])]

    def _signature(self):
        # Without the numbers that Keras gives to names: they depend on what else a process made.
        return [
            [re.sub(r"_\d+", "", v.path), list(v.shape), str(v.dtype), bool(v.trainable)]
            for v in self._variables()
        ]

    def _save(self):
        state = {
            "format": FORMAT,
            "backend": keras.backend.backend(),
            "signature": self._signature(),
            "random": _random_states(),
            **self._state,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f"{self.path.name}.tmp")
        with open(temporary, "wb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("state.json", json.dumps(state))
                for i, variable in enumerate(self._variables()):
                    archive.writestr(f"variables/{i}", np.asarray(variable).tobytes())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)

    def _restore(self):
        try:
            with zipfile.ZipFile(self.path) as archive:
                state = json.loads(archive.read("state.json"))
                mismatch = self._mismatch(state)
                if mismatch is None:
                    values = [_read(archive, i, v) for i, v in enumerate(self._variables())]
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
        _set_random_states(state["random"])
        self.model.history.history = {name: list(v) for name, v in state["history"].items()}
        asked = self.params["epochs"]
        self._done = state["complete"] and asked <= state["epochs"]
        self.model._initial_epoch = asked if self._done else _finished(state)
        self._state = {name: state[name] for name in self._state} | {"epochs": asked}

    def _mismatch(self, state):
        """Say in what the state differs from the training that is about to start, if it does."""
        if state["format"] != FORMAT:
            return f"its format is {state['format']!r}, and this release reads {FORMAT!r}"
        if state["backend"] != keras.backend.backend():
            return f"it was written on the {state['backend']} backend"
        if _finished(state) > self.params["epochs"]:
            return (
                f"it holds {_finished(state)} finished epochs, more than "
                f"`epochs={self.params['epochs']}`"
            )
        saved, own = state["signature"], self._signature()
        for theirs, ours in zip(saved, own, strict=False):
            if theirs != ours:
                return f"it has {_describe(theirs)} where the model has {_describe(ours)}"
        if len(saved) != len(own):
            return (
                f"it has {len(saved)} variables of model and optimizer, and the model has "
                f"{len(own)}"
            )
        return None


def _finished(state):
    return state["epoch"][-1] + 1 if state["epoch"] else 0


def _describe(entry):
    path, shape, dtype, trainable = entry
    return f"{path!r} ({shape}, {dtype}, {'trainable' if trainable else 'not trainable'})"


def _read(archive, i, variable):
    dtype = np.dtype(variable.dtype)  # NumPy knows bfloat16 through Keras's ml_dtypes
    member = archive.getinfo(f"variables/{i}")
    expected = math.prod(variable.shape) * dtype.itemsize
    if member.file_size != expected:
        raise ValueError(f"{member.filename} has {member.file_size} bytes instead of {expected}")
    return np.frombuffer(bytearray(archive.read(member)), dtype).reshape(variable.shape)


def _random_states():
    """Keras orders arrays by NumPy's global generator on JAX, and by torch's on torch."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    states = {"python": random.getstate(), "numpy": [name, keys.tolist(), *rest]}
    generator = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
    if generator is not None:
        states["keras"] = np.asarray(generator.state).tolist()
    if keras.backend.backend() == "torch":
        import torch

        states["torch"] = torch.get_rng_state().tolist()
    return states


def _set_random_states(states):
    if "keras" in states:
        global_seed_generator().state.assign(np.array(states["keras"]))
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(states["numpy"])  # noqa: NPY002
    if "torch" in states:
        import torch

        torch.set_rng_state(torch.tensor(states["torch"], dtype=torch.uint8))
