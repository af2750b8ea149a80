import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake.recipes._devices import Devices, all_devices


def write_images(folder, count):
    """The fakes are darker."""
    random = np.random.default_rng(0)
    for i in range(count):
        path = pathlib.Path(folder, ("fake", "real")[i % 2], f"{i}.png")
        path.parent.mkdir(exist_ok=True)
        image = random.uniform(0, (150, 255)[i % 2], (8, 8, 3))
        keras.utils.save_img(path, image, scale=False)


def test_equal_parts(tmp_path):
    write_images(tmp_path, 7)
    index = kd.datasets.ImageIndex.from_directory(tmp_path)
    assert Devices(1).trim(index) is index
    assert Devices(2).trim(index).paths == index.paths[:6]
    with pytest.raises(ValueError, match="8 images or more"):
        Devices(8).trim(index)
    Devices(2).check_batch_size("batch_size", 4)
    with pytest.raises(ValueError, match=r"`batch_size` must be divisible .*, 2,.* got 5"):
        Devices(2).check_batch_size("batch_size", 5)


if keras.backend.backend() == "torch":

    def test_torch_says_what_works():
        with pytest.raises(ValueError, match="KERAS_BACKEND=tensorflow or KERAS_BACKEND=jax"):
            all_devices()

else:

    def test_two_devices_train_as_one(tmp_path):
        write_images(tmp_path, 40)
        script = pathlib.Path(__file__).with_name("train_on_devices.py")
        subprocess.run(
            [sys.executable, script, tmp_path],
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        results = json.loads((tmp_path / "results.json").read_text())
        one, two = results["one"], results["two"]
        assert (one["count"], two["count"]) == (1, 2)
        for stage, history in one["histories"].items():
            for name in history.keys() - {"seconds"}:
                np.testing.assert_allclose(
                    two["histories"][stage][name], history[name], rtol=1e-4, err_msg=name
                )
        for expected, found in zip(one["metrics"], two["metrics"], strict=True):
            assert found == pytest.approx(expected, rel=1e-4)
        weights = [
            keras.saving.load_model(tmp_path / name / "classifier.keras").get_weights()
            for name in ("one", "two")
        ]
        for expected, found in zip(*weights, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
