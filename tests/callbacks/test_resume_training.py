import functools
import json
import os
import random
import signal
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake.callbacks import resume_training

EPOCHS = 4


class Kill(keras.callbacks.Callback):
    """Ends its own process as `kill -9` does: in the middle of an epoch, or of a write."""

    def __init__(self, epoch, writing=False):
        super().__init__()
        self.at, self.writing = epoch, writing

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == self.at and batch == 1 and not self.writing:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.at and self.writing:
            os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)


def build(units=2, optimizer=None, loss="mse"):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(2),
        ]
    )
    model.compile(optimizer or keras.optimizers.Adam(0.01), loss)
    return model


def data():
    rng = np.random.default_rng(0)
    return rng.random((20, 8, 8, 3), "float32"), rng.random((20, 2), "float32")


def train(path, callbacks=(), epochs=EPOCHS, folder=None, batch_size=6, **arguments):
    """Train as a user's program does: the whole of it runs again after a kill."""
    resume_training._ENDED.clear()  # which a new process does not know
    keras.utils.set_random_seed(1)
    model = build(**arguments)
    if path is not None:
        callbacks = [*callbacks, kd.callbacks.ResumeTraining(path)]
    if folder is None:
        x, y = data()
        inputs = {"x": x, "y": y, "batch_size": batch_size, "validation_data": (x, y)}
    else:
        index = kd.datasets.ImageIndex.from_directory(folder)
        inputs = {"x": kd.datasets.classification_dataset(index, (8, 8), 6, shuffle_buffer=9)}
    return model, model.fit(**inputs, epochs=epochs, verbose=0, callbacks=callbacks)


def assert_same(model, expected):
    variables = [*model.variables, *model.optimizer.variables]
    wanted = [*expected.variables, *expected.optimizer.variables]
    assert len(variables) == len(wanted)
    for variable, other in zip(variables, wanted, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), np.asarray(other), variable.path)


class Crash(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.at = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.at:
            raise InterruptedError


def crash(path, epoch):
    with pytest.raises(InterruptedError):
        train(path, callbacks=[Crash(epoch)])


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    """The file of a training that ended in its third epoch."""
    path = tmp_path_factory.mktemp("crashed") / "resume.state"
    crash(path, 2)
    return path.read_bytes()


@pytest.mark.usefixtures("in_graphs")
@pytest.mark.once
def test_killed_process_ends_with_the_weights_of_the_uninterrupted_one(tmp_path, pytestconfig):
    killed, folder = tmp_path / "run" / "resume.state", tmp_path / "faces"
    for i, image in enumerate(data()[0]):
        name = folder / ("fake", "real")[i % 2] / f"{i}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(name, image * 255, data_format="channels_last", scale=False)

    for moment in ("1", "2, writing=True"):
        code = (
            "from tests.callbacks.test_resume_training import Kill, train;"
            f"train({str(killed)!r}, callbacks=[Kill({moment})], folder={str(folder)!r})"
        )
        child = subprocess.run([sys.executable, "-c", code], cwd=pytestconfig.rootpath)
        assert child.returncode == -signal.SIGKILL
    with zipfile.ZipFile(killed) as archive:
        assert json.loads(archive.read("state.json"))["epoch"] == [0, 1]

    expected, expected_history = train(None, folder=folder)
    model, history = train(killed, folder=folder)
    assert_same(model, expected)
    assert history.history == expected_history.history
    assert history.epoch == expected_history.epoch == list(range(EPOCHS))
    assert sorted(p.name for p in killed.parent.iterdir()) == ["resume.state"]


class Draw(keras.callbacks.Callback):
    """Draws from the global generators, as unseeded layers and loaders do."""

    def __init__(self):
        super().__init__()
        self.drawn = []

    def on_epoch_begin(self, epoch, logs=None):
        mine = [*np.asarray(keras.random.normal((2,))), np.random.random(), random.random()]  # noqa: NPY002
        self.drawn.append(mine)


def test_crash_in_every_epoch(tmp_path):
    def halving(draw):
        return [keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2), draw]

    draw = Draw()
    expected, _ = train(None, halving(draw), epochs=3)
    for epoch in range(3):
        with pytest.raises(InterruptedError):
            train(tmp_path / "crashed.state", [Crash(epoch), *halving(draw)], epochs=3)
    crashed = Draw()
    model, history = train(tmp_path / "crashed.state", halving(crashed), epochs=3)
    assert_same(model, expected)
    assert history.history["learning_rate"] == pytest.approx([5e-3, 2.5e-3, 1.25e-3])
    np.testing.assert_array_equal(crashed.drawn, draw.drawn[2:3])


@pytest.mark.once
def test_finished_training_does_nothing_again(tmp_path):
    expected, expected_history = train(tmp_path / "resume.state", epochs=2)
    before = (tmp_path / "resume.state").read_bytes()
    model, history = train(tmp_path / "resume.state", epochs=2, callbacks=[Crash(0), Crash(1)])
    assert_same(model, expected)
    assert history.history == expected_history.history
    assert history.epoch == [0, 1]
    assert (tmp_path / "resume.state").read_bytes() == before


@pytest.mark.once
def test_finished_training_goes_on_with_more_epochs(tmp_path):
    expected, _ = train(None, epochs=3)
    train(tmp_path / "resume.state", epochs=2)
    model, history = train(tmp_path / "resume.state", epochs=3)
    assert_same(model, expected)
    assert history.epoch == [0, 1, 2]
    # A `fit` without the callback starts at its own first epoch again.
    x, y = data()
    assert model.fit(x, y, epochs=1, verbose=0).epoch == [0]


def test_early_stopped_training_is_finished(tmp_path):
    def stop():
        return keras.callbacks.EarlyStopping(
            "val_loss", min_delta=1e9, patience=2, restore_best_weights=True
        )

    averaged = {"learning_rate": 0.01, "use_ema": True}
    path = tmp_path / "resume.state"
    expected, first = train(path, [stop()], epochs=9, optimizer=keras.optimizers.Adam(**averaged))
    assert first.epoch == [0, 1, 2]
    model, history = train(path, [stop()], epochs=9, optimizer=keras.optimizers.Adam(**averaged))
    assert history.epoch == first.epoch
    assert_same(model, expected)


@pytest.mark.parametrize("dtype", ["mixed_float16", "bfloat16"])
def test_low_precision(dtype, tmp_path):
    keras.config.set_dtype_policy(dtype)
    expected, _ = train(tmp_path / "resume.state", epochs=1)
    model, _ = train(tmp_path / "resume.state", epochs=1)
    assert_same(model, expected)


@pytest.mark.once
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"units": 3}, r"`model\..*units` was 2 and is 3 now"),
        ({"optimizer": "sgd"}, r'`optimizer\..*` was "Adam" and is "SGD" now'),
        (
            {"optimizer": keras.optimizers.Adam(0.02)},
            r"learning_rate` was 0\.0.* and is 0\.0.* now",
        ),
        ({"loss": "mae"}, '`loss` was "mse" and is "mae" now'),
        ({"batch_size": 10}, "`steps_per_epoch` was 4 and is 2 now"),
        ({"epochs": 1}, "2 finished epochs, more than `epochs=1`"),
    ],
)
def test_file_of_another_training(change, message, crashed, tmp_path):
    path = tmp_path / "resume.state"
    path.write_bytes(crashed)
    with pytest.raises(ValueError, match="does not fit this training") as error:
        train(path, **change)
    assert error.match(message)
    assert path.read_bytes() == crashed


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-3000] ^= 255
    path.write_bytes(content)


def rewrite(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("state.json", "{}")


def test_numbers_that_keras_gives_to_layers_do_not_matter(tmp_path):
    """A notebook makes the model again, which leaves the names of the first one taken."""

    def make():
        layers = [keras.layers.Flatten(), *(keras.layers.Dense(8, "relu") for _ in range(2))]
        encoder = keras.Sequential([keras.Input((8, 8, 3)), *layers])
        model = kd.EncoderClassifier(encoder, pooling=None)
        kd.models.set_trainable(model, "lora", rank=2)
        model.compile()
        return model

    images, labels = data()[0], keras.utils.to_categorical([0, 1] * 10)
    crash = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: 1 // (1 - epoch))
    resume = functools.partial(kd.callbacks.ResumeTraining, tmp_path / "state")
    with pytest.raises(ZeroDivisionError):
        make().fit(images, labels, epochs=2, verbose=0, callbacks=[resume(), crash])
    history = make().fit(images, labels, epochs=2, verbose=0, callbacks=[resume()])
    assert len(history.history["loss"]) == 2


@pytest.mark.once
@pytest.mark.parametrize("damage", [truncate, flip, rewrite, lambda path: path.write_bytes(b"")])
def test_damaged_file_stops_the_training_before_it_starts(damage, crashed, tmp_path):
    path = tmp_path / "resume.state"
    path.write_bytes(crashed)
    damage(path)
    with pytest.raises(ValueError, match=r"resume\.state' is damaged or was not written by"):
        train(path, [Crash(0)])


@pytest.mark.once
def test_unusable_path_and_unbuilt_model(tmp_path):
    with pytest.raises(ValueError, match="must name a file"):
        train(tmp_path)
    model = keras.Sequential([keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    callback = kd.callbacks.ResumeTraining(tmp_path / "resume.state")
    callback.set_model(model)
    callback.set_params({"epochs": 1})
    with pytest.raises(ValueError, match="needs a model that is built"):
        callback.on_train_begin()
