"""The private names of Keras and KerasTuner that CONTRIBUTING lists are still there."""

import ast
import importlib
import re
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
# Underscored, and public all the same.
PYTHON = {"_asdict", "_exit", "_fields", "_replace"}
# What the package itself writes on models and datasets.
MARKS = {"_data_digest", "_data_seen"}


def listed_names():
    """Every word of the first column of CONTRIBUTING's table."""
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("| name |")[2]
    first = "\n".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `"))
    return set(re.findall(r"\w+", first))


def is_private(name):
    return name == "__base__" or re.match("_[a-z]", name)


def private_names():
    """Underscored names that the package defines, and those that it uses."""
    own, used = set(), set()
    for path in (ROOT / "keras_deepfake").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    own.add(name)
                case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                    own.add(name)
                case ast.Name(id=name, ctx=ast.Store()):
                    own.add(name)
                case ast.Attribute(attr=name) if is_private(name):
                    used.add(name)
                case ast.Call(
                    func=ast.Name(id="getattr" | "hasattr"), args=[_, ast.Constant(value=name), *_]
                ) if is_private(name):
                    used.add(name)
                case ast.ImportFrom(module=module) if ".src" in module:
                    used.add(module.rpartition(".")[2])
    return own, used


def test_every_private_name_is_listed():
    own, used = private_names()
    unlisted = used - own - PYTHON - MARKS - listed_names()
    assert not unlisted, f"list {sorted(unlisted)} in CONTRIBUTING.md, with a test here"


def test_every_name_that_is_listed_is_used():
    own, used = private_names()
    gone = {name for name in listed_names() if is_private(name)} - own - used
    assert not gone, f"CONTRIBUTING.md lists {sorted(gone)}, which the package no longer uses"


def functional_model():
    inputs = keras.Input((4,))
    block = keras.Sequential([keras.layers.Dense(2, name="inside")], name="block")
    return keras.Model(inputs, block(inputs))


def test_flatten_layers():
    layers = getattr(functional_model(), "_flatten_layers", None)
    assert layers, "Keras has moved `Layer._flatten_layers`, which lists layers at any depth"
    names = [layer.name for layer in layers(include_self=False)]
    assert {"block", "inside"} <= set(names), (
        "Keras's `Layer._flatten_layers` no longer lists the layers inside nested ones"
    )
    names = [layer.name for layer in layers(include_self=False, recursive=False)]
    assert "inside" not in names, (
        "Keras's `Layer._flatten_layers(recursive=False)` no longer ends at the first level"
    )


def test_base_of_image_augmentations():
    base = keras.layers.RandomGrayscale.__base__
    assert base.__name__ == "BaseImagePreprocessingLayer", (
        f"Keras has put {base} where `BaseImagePreprocessingLayer`, the base of its image "
        "augmentations, was"
    )
    missing = {
        name
        for name in ("get_random_transformation", "transform_images", "transform_labels", "backend")
        if not hasattr(base(), name)
    }
    assert not missing, f"Keras's `BaseImagePreprocessingLayer` no longer has {missing}"


def test_use_base_factor():
    base = keras.layers.RandomGrayscale.__base__
    assert getattr(base, "_USE_BASE_FACTOR", None) is True, (
        "Keras has moved `BaseImagePreprocessingLayer._USE_BASE_FACTOR`, which says whether an "
        "augmentation has the argument `factor`"
    )


def test_get_seed_generator():
    layer = keras.layers.RandomGrayscale(seed=0)
    assert hasattr(layer, "_get_seed_generator"), (
        "Keras has moved `DataLayer._get_seed_generator`, the seed of an augmentation for the "
        "backend that it runs on"
    )
    assert layer._get_seed_generator(keras.backend.backend()) is layer.generator, (
        "Keras's `DataLayer._get_seed_generator` no longer gives the layer's own `generator`"
    )


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("keras.src.backend.common.global_state", ["get_global_attribute"]),
        (
            "keras.src.random.seed_generator",
            ["GLOBAL_SEED_GENERATOR", "global_seed_generator"],
        ),
    ],
)
def test_global_seed_generator(module, names):
    found = vars(importlib.import_module(module))
    for name in names:
        assert name in found, f"Keras has moved `{module}.{name}`, its global seed generator"


def test_global_seed_generator_is_the_one_that_is_drawn_from():
    from keras.src.backend.common import global_state
    from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR, global_seed_generator

    keras.random.uniform((1,))
    generator = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
    assert generator is global_seed_generator(), (
        "Keras no longer keeps the generator that it draws from under `GLOBAL_SEED_GENERATOR`"
    )


def test_older_format_asks_for_the_configuration_under_a_global_name(tmp_path):
    from keras.src.backend.common import global_state

    seen = []

    class Model(keras.Model):
        def get_config(self):
            seen.append(global_state.get_global_attribute("use_legacy_config"))
            return {}

    keras.saving.save_model(Model(), tmp_path / "model.h5")
    assert set(seen) == {True}, (
        "Keras no longer sets `use_legacy_config` while it writes a model as HDF5"
    )


def test_direction():
    directions = [
        getattr(metric, "_direction", None)
        for metric in (keras.metrics.AUC(), keras.metrics.MeanSquaredError())
    ]
    assert directions == ["up", "down"], (
        "Keras has moved `Metric._direction`, which says whether more of a metric is better"
    )


def test_initial_epoch():
    model = functional_model()
    model.compile(loss="mse")

    class Start(keras.callbacks.Callback):
        epochs = ()

        def on_train_begin(self, logs=None):
            self.model._initial_epoch = 3

        def on_epoch_begin(self, epoch, logs=None):
            self.epochs += (epoch,)

    start = Start()
    model.fit(np.zeros((1, 4)), np.zeros((1, 2)), epochs=5, callbacks=[start], verbose=0)
    assert start.epochs == (3, 4), (
        "Keras has moved `Trainer._initial_epoch`, the epoch in which `fit` starts"
    )


def test_model_of_a_callback():
    callback, model = keras.callbacks.Callback(), functional_model()
    callback.set_model(model)
    assert getattr(callback, "_model", None) is model, (
        "Keras has moved `Callback._model`, the model that `set_model` was given"
    )


def test_jax_state_sync():
    on_jax = keras.backend.backend() == "jax"
    assert hasattr(keras.Model, "jax_state_sync") == on_jax, (
        "Keras has moved `Trainer.jax_state_sync`, which brings variables up to date in an epoch"
    )


HYPERPARAMETERS = keras_tuner.HyperParameters()
OBJECTIVE = keras_tuner.Objective("val_loss", "min")


@pytest.mark.parametrize(
    ("oracle", "name", "purpose"),
    [
        ("RandomSearchOracle", "_retry_queue", "the trials that are to run again"),
        ("RandomSearchOracle", "_save_trial", "what writes a trial's file"),
        ("BayesianOptimizationOracle", "_random_state", "its random numbers"),
        ("GridSearchOracle", "_ordered_ids", "the trials in the order of the grid"),
        ("GridSearchOracle", "_compare", "the order of two points of the grid"),
        ("GridSearchOracle", "_populate_next", "the trials whose successors come next"),
    ],
)
def test_names_of_an_oracle(oracle, name, purpose):
    arguments = {"hyperparameters": HYPERPARAMETERS, "objective": OBJECTIVE, "seed": 0}
    made = getattr(keras_tuner.oracles, oracle)(**arguments)
    assert hasattr(made, name), f"KerasTuner has moved `{oracle}.{name}`, {purpose}"


def test_ordered_ids_are_a_linked_list():
    ordered = keras_tuner.oracles.GridSearchOracle(objective=OBJECTIVE)._ordered_ids
    ordered = type(ordered)()
    ordered.insert("0", None)
    ordered.insert("1", "0")
    assert ordered.next("0") == "1", (
        "KerasTuner's `GridSearchOracle._ordered_ids` no longer is a list that `insert`s an id "
        "behind another"
    )


def test_tuner_of_a_callback(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    seen = []

    class Notes(keras_tuner.HyperModel):
        def build(self, hp):
            return model

        def fit(self, hp, model, callbacks, **arguments):
            seen.extend(callbacks)
            return {"val_loss": 1.0}

    tuner = keras_tuner.RandomSearch(Notes(), OBJECTIVE, max_trials=1, directory=tmp_path)
    tuner.search(verbose=0)
    assert tuner in [getattr(callback, "tuner", None) for callback in seen], (
        "KerasTuner has moved `TunerCallback.tuner`, by which a hypermodel learns how often its "
        "tuner trains the model of a trial"
    )
