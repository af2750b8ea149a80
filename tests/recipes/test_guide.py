"""The code of docs/training.md, with other numbers where it would take long."""

import pathlib
import re

import keras
import numpy as np
import pytest

import keras_deepfake as kd

pytestmark = pytest.mark.usefixtures("pages_without_pictures")
SHORTER = {
    "l1=0.0, epochs_classifier=40": "image_size=32, filters=(4, 4), split=(0.5, 0.25, 0.25), "
    "epochs_autoencoder=1, epochs_classifier=1",
    "epochs=5": "epochs=1",
    "epochs=10": "epochs=1",
    "224, 224": "32, 32",
    'weights="imagenet"': "weights=None",
}


def test_training_guide_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name in ("faces/fake", "faces/real", "crops"):
        (tmp_path / name).mkdir(parents=True)
        for i in range(16):
            pixels = random.uniform(0, 255, (32, 32, 3))
            keras.utils.save_img(f"{name}/p{i // 2}_{i % 2}.png", pixels, scale=False)
    autoencoder = kd.models.ConvAutoencoder((32, 32, 3), filters=(4, 4))
    autoencoder.compile()
    index = kd.datasets.ImageIndex.from_directory("faces")
    # What the pieces go on from, the workflow of the README, has a test of its own.
    names = {
        "kd": kd,
        "autoencoder": autoencoder,
        "size": (32, 32),
        "train": index,
        "val": index,
        "unlabelled": kd.datasets.ImageIndex.from_directory("crops", class_names=None),
        "model": autoencoder,
    }
    guide = pathlib.Path(__file__).parents[2] / "docs" / "training.md"
    for block in re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL):
        for long, short in SHORTER.items():
            block = block.replace(long, short)
        exec(block, names)
    assert isinstance(names["study"].detector, kd.Detector)
    assert (tmp_path / "results/detector.keras").exists()
    assert (tmp_path / "run/model.resume").exists()


def test_guide_of_the_recommended_detector_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name, spread in (("fake", 100), ("real", 255)):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for i in range(12):
            pixels = random.uniform(0, spread, (32, 32, 3))
            keras.utils.save_img(f"faces/{name}/{i}.png", pixels, scale=False)
    guide = pathlib.Path(__file__).parents[2] / "docs" / "recommended-detector.md"
    names = {}
    for block in re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, names)
    assert names["trained"].report.metrics["auc"] == 1
