"""Every public name is documented, and every example in a docstring runs."""

import importlib
import inspect
import pathlib
import pkgutil
import re
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_deepfake as kd


def public_objects():
    for module in pkgutil.iter_modules(kd.__path__):
        if module.name.startswith("_"):
            continue
        package = importlib.import_module(f"keras_deepfake.{module.name}")
        for name in package.__all__:
            yield pytest.param(getattr(package, name), id=f"{module.name}.{name}")


def examples(documented):
    texts = [documented.__doc__ or ""]
    if inspect.isclass(documented):
        texts += [
            member.__doc__ or ""
            for name, member in vars(documented).items()
            if inspect.isfunction(member) and not name.startswith("_")
        ]
    for text in texts:
        yield from re.findall(r"```python\n(.*?)```", inspect.cleandoc(text), re.DOTALL)


@pytest.mark.parametrize("documented", list(public_objects()))
def test_documented_example_runs(documented, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = list(examples(documented))
    assert blocks, "no example in the docstring"
    for block in blocks:
        exec(textwrap.dedent(block), {"kd": kd, "keras": keras, "np": np})


@pytest.mark.parametrize("documented", list(public_objects()))
def test_arguments_are_documented(documented):
    function = documented.__init__ if inspect.isclass(documented) else documented
    if not inspect.isfunction(function):
        return
    names = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name != "self" and not parameter.name.startswith("_")
    ]
    text = documented.__doc__
    missing = [name for name in names if not re.search(rf"^\s+\**{name}\b.*:", text, re.MULTILINE)]
    assert not missing


@pytest.mark.parametrize("guide", ["augmentation", "forensic-layers"])
def test_guide_runs(guide, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    faces = kd.datasets.synthetic_faces(8, (32, 32))
    (tmp_path / "real_faces").mkdir()
    for number, image in enumerate(faces.images):
        keras.utils.save_img(tmp_path / f"real_faces/{number}.png", image, scale=False)
    model = keras.Sequential(
        [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation="softmax")]
    )
    model.compile("sgd", "categorical_crossentropy")
    names = {
        "model": model,
        "dataset": tf.data.Dataset.from_tensors((faces.images / np.float32(255), faces.labels)),
        "autoencoder": kd.models.ConvAutoencoder((32, 32, 3), filters=(4, 4)),
    }
    path = pathlib.Path(__file__).parents[2] / f"docs/{guide}.md"
    blocks = re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) > 1
    for block in blocks:
        exec(block, names)
    for images, labels in names["dataset"]:
        assert 0 <= np.min(images) < np.max(images) <= 1
        model.evaluate(images, labels, verbose=0)
    if "photographs" in names:
        images, _ = names["self_blended"](next(iter(names["photographs"])))
        assert 0 <= np.min(images) < np.max(images) <= 1
