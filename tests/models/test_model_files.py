import zipfile

import keras
import numpy as np
import pytest

import keras_deepfake as kd


@pytest.fixture
def model():
    encoder = keras.Sequential([keras.Input((8, 8, 3)), kd.layers.ConvBlock(2)])
    return kd.models.EncoderClassifier(encoder)


def test_model_comes_back(model, tmp_path):
    model.compile()
    model.save(tmp_path / "model.keras")
    loaded = kd.models.load_model(tmp_path / "model.keras")
    assert not loaded.compiled
    images = np.random.default_rng(0).random((2, 8, 8, 3), "float32")
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0)
    )


def test_damaged_and_foreign_files_are_told_in_one_way(model, tmp_path):
    whole = tmp_path / "model.keras"
    model.save(whole)
    content = whole.read_bytes()
    files = {
        "empty.keras": b"",
        "text.keras": b"no model",
        "text.txt": b"no model",
        "cut.keras": content[: len(content) // 2],
        "flipped.keras": content[:200] + bytes(100) + content[300:],
        "text.h5": b"no model",
    }
    for name, bad in files.items():
        (tmp_path / name).write_bytes(bad)
    with zipfile.ZipFile(tmp_path / "foreign.keras", "w") as archive:
        archive.writestr("photograph.txt", "nothing")
    for name in (*files, "foreign.keras"):
        with pytest.raises(
            ValueError, match=r"is not a Keras model that can be loaded: ."
        ) as error:
            kd.models.load_model(tmp_path / name)
        assert name in str(error.value)
    for path in (tmp_path / "missing.keras", tmp_path):
        with pytest.raises(ValueError, match="there is no file"):
            kd.models.load_model(path)
    with pytest.raises(ValueError, match="`path` must be a path"):
        kd.models.load_model(3)
