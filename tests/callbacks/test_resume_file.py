"""What `ResumeTraining` refuses: files that are wrong, and files of other trainings."""

import copy
import errno
import io
import json
import math
import os
import warnings
import zipfile

import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake._locks import FileLock
from keras_deepfake.callbacks._random_states import random_states

IMAGES = np.random.default_rng(0).random((12, 8, 8, 3), "float32")
LABELS = np.eye(2, dtype="float32")[[0, 1] * 6]


def plain_model(learning_rate=0.01):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(2, "softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(learning_rate), "categorical_crossentropy")
    return model


def classifier():
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])
    model = kd.models.EncoderClassifier(encoder, pooling="avg")
    model.compile()
    return model


def fit(model, path, x=IMAGES, y=LABELS, **arguments):
    callbacks = [*arguments.pop("callbacks", []), kd.callbacks.ResumeTraining(path)]
    arguments = {"batch_size": 4, "epochs": 2, "verbose": 0, **arguments}
    return model.fit(x, y, callbacks=callbacks, **arguments)


class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise InterruptedError


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """The members of the file of an interrupted training."""
    path = tmp_path_factory.mktemp("real") / "resume.state"
    keras.utils.set_random_seed(0)
    with pytest.raises(InterruptedError):
        fit(plain_model(), path, epochs=4, callbacks=[Stop()])
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def begin(model, path):
    """What `fit` does before its first epoch, and nothing else that draws or assigns."""
    callback = kd.callbacks.ResumeTraining(path)
    callback.set_model(model)
    callback.set_params({"epochs": 4, "steps": 3})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`fit` trains nothing")
        callback.on_train_begin()
    callback._release()


def refusal(model, path):
    try:
        begin(model, path)
    except ValueError as error:
        return str(error)
    return None


def everything(model):
    """Whatever a resume file may change."""
    variables = [np.asarray(v).tobytes() for v in (*model.variables, *model.optimizer.variables)]
    return variables, random_states(), model._initial_epoch, dict(model.history.history)


def places(value, place=()):
    """Paths to everything inside nested lists and dictionaries."""
    if place:
        yield place
    if isinstance(value, dict):
        # Inside the signature every change is one and the same mismatch.
        inner = value if place[:1] != ("signature",) else list(value)[:1]
        for key in inner:
            yield from places(value[key], (*place, key))
    elif isinstance(value, list):
        # Long lists of numbers are one thing: both ends stand for the rest.
        for i in sorted({0, len(value) - 1} & set(range(len(value)))):
            yield from places(value[i], (*place, i))


REPLACEMENTS = [None, -1, 1.5, 2**70, float("nan"), "x", [], {}, [None], True]


def changed_states(state):
    for place in places(state):
        holder_place, key = place[:-1], place[-1]

        def at(state, place=holder_place):
            for part in place:
                state = state[part]
            return state

        for value in REPLACEMENTS:
            old = at(state)[key]
            if type(value) is type(old) and value == old:
                continue
            changed = copy.deepcopy(state)
            at(changed)[key] = value
            yield (*place, value), changed
        changed = copy.deepcopy(state)
        del at(changed)[key]
        yield (*place, "removed"), changed


def is_harmless(name):
    """Whether a change leaves a state that a training might have written."""
    place, value = name[:-1], name[-1]
    number = type(value) in (int, float) and math.isfinite(value)
    return (
        (place == ("complete",) and value is True)
        or (place == ("epochs",) and value == 2**70)
        or (place == ("random", "python", 2) and (number or value is None))
        or (place == ("random", "numpy", 4) and number)
        or (place == ("random", "keras") and value == "removed")
        or (place[0] == "logs" and len(place) == 3 and type(value) in (int, float, bool))
        # An epoch may lack what the others have, as validation that is not run in each.
        or (place[0] == "logs" and len(place) == 3 and value == "removed")
        or (place[0] == "logs" and len(place) == 2 and value == {})
    )


def test_every_field(members, tmp_path):
    model = plain_model()
    model.optimizer.build(model.trainable_variables)
    model.history = keras.callbacks.History()
    path = tmp_path / "resume.state"
    state = json.loads(members["state.json"])
    taken, tried = [], 0
    for name, changed in changed_states(state):
        tried += 1
        write(path, {**members, "state.json": json.dumps(changed)})
        before = everything(model)
        message = refusal(model, path)
        if message is None:
            taken.append(name)
            model._initial_epoch = None
        else:
            assert "is damaged or was not" in message or "does not fit" in message, name
            assert everything(model) == before, name
    assert tried > 200
    assert [name for name in taken if not is_harmless(name)] == []


@pytest.mark.parametrize("change", ["nan", "short", "long", "missing", "extra", "renamed"])
def test_every_variable(change, members, tmp_path):
    model = plain_model()
    model.optimizer.build(model.trainable_variables)
    model.history = keras.callbacks.History()
    path = tmp_path / "resume.state"
    for name in members:
        if name == "state.json":
            continue
        changed = dict(members)
        content = changed[name]
        if change == "nan":
            content = np.frombuffer(content, "uint8").copy()
            content[-4:] = np.frombuffer(np.float32(np.nan).tobytes(), "uint8")
            i = int(name.split("/")[1])
            variables = [*model.variables, *model.optimizer.variables]
            if variables[i].dtype != "float32":
                continue
            changed[name] = content.tobytes()
        elif change == "short":
            changed[name] = content[:-1]
        elif change == "long":
            changed[name] = content + b"0"
        elif change == "missing":
            del changed[name]
        elif change == "extra":
            changed[f"{name}0000"] = content
        else:
            changed[f"../{name}"] = changed.pop(name)
        write(path, changed)
        before = everything(model)
        with pytest.raises(ValueError, match="is damaged or was not written"):
            begin(model, path)
        assert everything(model) == before


def test_what_unpacks_to_more_is_not_read(members, tmp_path, monkeypatch):
    model, path = plain_model(), tmp_path / "resume.state"
    write(path, {**members, "variables/0": b"\0" * 10**7}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10**6
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("it was read"))
    with pytest.raises(ValueError, match="unpacks to more"):
        begin(model, path)


class TestOtherTrainings:
    def folds(self, path, make, as_data):
        for i in range(4):
            held_out = np.arange(len(IMAGES)) % 4 == i
            fit(make(), path, **as_data(IMAGES[~held_out], LABELS[~held_out]))

    @pytest.mark.parametrize("make", [plain_model, classifier])
    def test_folds_on_arrays(self, make, tmp_path):
        with pytest.raises(ValueError, match=r"another `fit` of this process|digest_of_data"):
            self.folds(tmp_path / "resume.state", make, lambda x, y: {"x": x, "y": y})

    def test_folds_on_datasets(self, tmp_path):
        index = faces(tmp_path / "faces")
        one, two = index.split((0.5, 0.5), seed=0)
        path = tmp_path / "resume.state"

        def train(index):
            data = kd.datasets.classification_dataset(index, (8, 8), 4, shuffle_buffer=9, seed=0)
            return classifier().fit(
                data, epochs=2, verbose=0, callbacks=[kd.callbacks.ResumeTraining(path)]
            )

        train(one)
        with pytest.raises(ValueError, match="does not fit this training: `digest_of_data`"):
            train(two)
        # The same training may be asked for again, as by a cell of a notebook.
        with pytest.warns(UserWarning, match="trains nothing"):
            assert train(one).epoch == [0, 1]

    def test_search_by_hand(self, tmp_path):
        path = tmp_path / "resume.state"
        fit(plain_model(), path)
        with pytest.raises(ValueError, match=r"another `fit` of this process.*file of its own"):
            fit(plain_model(learning_rate=0.1), path)
        path.unlink()
        fit(plain_model(learning_rate=0.1), path)

    def test_an_interrupted_training_may_go_on_in_its_process(self, tmp_path):
        path = tmp_path / "resume.state"
        with pytest.raises(InterruptedError):
            fit(plain_model(), path, epochs=4, callbacks=[Stop()])
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="`fit` trains nothing")
            assert fit(plain_model(), path, epochs=4).epoch == [0, 1, 2, 3]

    def test_other_learning_rate_of_a_detection_model(self, tmp_path):
        path = tmp_path / "resume.state"
        fit(classifier(), path)
        model = classifier()
        model.compile(keras.optimizers.Adam(0.1))
        before = model.get_weights()
        with pytest.raises(ValueError, match=r"learning_rate` was 0\.001.* and is 0\.1"):
            fit(model, path)
        for value, expected in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(value, expected)


def faces(folder):
    for i, image in enumerate(IMAGES):
        path = folder / ("fake", "real")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(path, image * 255, data_format="channels_last", scale=False)
    return kd.datasets.ImageIndex.from_directory(folder)


def test_two_do_not_write_one_file(tmp_path):
    """The lock is one that another process meets as well: tests/test_locks.py."""
    path, lock = tmp_path / "resume.state", tmp_path / ".resume.state.lock"

    class Second(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            with pytest.raises(ValueError, match="Another process works on the same files"):
                FileLock(lock)

    assert fit(plain_model(), path, epochs=1, callbacks=[Second()]).epoch == [0]
    assert [p.name for p in tmp_path.iterdir()] == ["resume.state"]
    with FileLock(lock), pytest.raises(ValueError, match="Another process works on the same"):
        fit(plain_model(), path)


def test_full_disk(tmp_path, monkeypatch):
    path = tmp_path / "resume.state"

    class Full(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                self.before = path.read_bytes()
                monkeypatch.setattr(os, "fsync", full)

    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    callback = Full()
    with pytest.raises(OSError, match=r"No space left on device.*resume\.state"):
        fit(plain_model(), path, callbacks=[callback])
    monkeypatch.undo()
    assert path.read_bytes() == callback.before
    assert fit(plain_model(), path).epoch == [0, 1]


@pytest.mark.parametrize("path", [None, 3, b"x", "", io.BytesIO()])
def test_wrong_path(path):
    with pytest.raises(ValueError, match="`path` must be a path"):
        kd.callbacks.ResumeTraining(path)
