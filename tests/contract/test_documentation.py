"""Every public name is documented, and every example in a docstring runs."""

import importlib
import importlib.util
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
            if name == "hub_encoder" and importlib.util.find_spec("keras_hub") is None:
                continue
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


@pytest.mark.usefixtures("pages_without_pictures")
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


def test_guide_to_photographs_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = pathlib.Path(__file__).parents[2] / "docs/photographs.md"
    (block,) = re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec(block, names)
    assert [len(person.parts) for person in names["people"]] == [2, 1]
    assert (tmp_path / "inspection.html").exists()


@pytest.mark.parametrize("guide", ["augmentation", "forensic-layers", "several-devices"])
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
        "train": tf.data.Dataset.from_tensors((faces.images / np.float32(255),) * 2),
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


def test_evaluation_guide_runs(tmp_path, monkeypatch):
    """The fakes are red, and so are found by models that need no training."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for number in range(120):
        name = ("fake/gan", "real", "fake/swap", "real")[number % 4]
        (tmp_path / "faces" / name).mkdir(parents=True, exist_ok=True)
        image = random.integers(0, 170, (8, 8, 3))
        image[..., 0] += (number % 2 == 0) * random.integers(0, 30)
        path = tmp_path / "faces" / name / f"p{number // 2}_{number}.png"
        keras.utils.save_img(path, image, scale=False)
    names = {}
    for name, pixel in (("model", 0), ("other_model", 1)):
        layers = [keras.Input((8, 8, 3)), keras.layers.Cropping2D(((pixel, 0), (0, 0)))]
        layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, "softmax")]
        names[name] = keras.Sequential(layers)
        kernel = np.array([[40.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
        names[name].set_weights([kernel, np.array([-14.0, 0.0])])
    guide = (pathlib.Path(__file__).parents[2] / "docs/evaluation.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", guide, re.DOTALL):
        # Of twelve images no threshold keeps a rate of 5 %.
        exec(block.replace("(0.8, 0.1, 0.1)", "(0.1, 0.6, 0.3)"), names)
    assert names["report"].metrics["auc"] > 0.6
    assert names["ensemble"].members[1].name == names["other_model"].name
    assert {row.kind for row in names["unseen"].rows} == {"gan", "swap"}
    assert (tmp_path / "report.html").stat().st_size > 10_000
