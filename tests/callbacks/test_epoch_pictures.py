import keras
import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_deepfake.callbacks import EpochPictures

X = np.ones((4, 2), "float32")


def model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="head")])
    model.compile("sgd", "mse")
    return model


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_picture_before_the_first_epoch_and_after_each(tmp_path):
    seen = []

    def draw(model, images):
        assert images is X
        # The weights of this moment, on every backend.
        seen.append(float(np.sum(keras.ops.convert_to_numpy(model(images)))))
        return Figure(figsize=(1, 1))

    trained = model()
    start = float(np.sum(trained.predict(X, verbose=0)))
    callback = EpochPictures(tmp_path / "new" / "pictures", X, draw)
    trained.fit(X, X[:, :1], epochs=2, verbose=0, callbacks=[callback])
    expected = ["epoch-0000.png", "epoch-0001.png", "epoch-0002.png"]
    assert names(tmp_path / "new" / "pictures") == expected
    assert seen[0] == pytest.approx(start)
    assert seen[2] == pytest.approx(float(np.sum(trained.predict(X, verbose=0))))
    assert len(set(seen)) == 3


def test_names_of_a_training_that_goes_on(tmp_path):
    callback = EpochPictures(str(tmp_path), X, lambda model, images: Figure(figsize=(1, 1)))
    trained = model()
    trained.fit(X, X[:, :1], initial_epoch=4, epochs=5, verbose=0, callbacks=[callback])
    assert names(tmp_path) == ["epoch-0004.png", "epoch-0005.png"]


def test_a_mistake_stops_the_training_before_it_begins(tmp_path):
    trained = model()
    weights = trained.get_weights()
    with pytest.raises(ZeroDivisionError):
        trained.fit(
            X,
            X[:, :1],
            verbose=0,
            callbacks=[EpochPictures(tmp_path, X, lambda model, images: 1 / 0)],
        )
    np.testing.assert_array_equal(trained.get_weights()[0], weights[0])


def test_a_later_failure_warns_and_the_training_goes_on(tmp_path):
    calls = []

    def draw(model, images):
        calls.append(None)
        if len(calls) == 2:
            raise RuntimeError("no ink")
        return Figure(figsize=(1, 1))

    with pytest.warns(UserWarning, match=r"after epoch 1 was not written.*no ink"):
        model().fit(X, X[:, :1], epochs=2, verbose=0, callbacks=[EpochPictures(tmp_path, X, draw)])
    assert names(tmp_path) == ["epoch-0000.png", "epoch-0002.png"]


def test_wrong_arguments():
    def draw(model, images):
        return Figure(figsize=(1, 1))

    with pytest.raises(ValueError, match="`directory` must be a path"):
        EpochPictures(None, X, draw)
    with pytest.raises(ValueError, match="`images` must be"):
        EpochPictures("pictures", None, draw)
    with pytest.raises(ValueError, match="`draw` a function"):
        EpochPictures("pictures", X, "draw")
