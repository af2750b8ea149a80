"""What every exported layer, model and metric has to stand."""

import importlib.util
import inspect
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

import keras_deepfake as kd

from .cases import CASES
from .predict_all import all_weights, predict

# From TensorFlow into every backend, from the others into their own.
BACKENDS = [
    name
    for name in ("tensorflow", "jax", "torch")
    if importlib.util.find_spec(name) is not None
    and keras.backend.backend() in ("tensorflow", name)
]
# Base classes, which others build on.
ABSTRACT = {
    kd.layers.RandomImageLayer,
    kd.metrics.ScoreHistogram,
    kd.models.DetectionModel,
}
POLICIES = [pytest.param("mixed_bfloat16", marks=pytest.mark.once), "mixed_float16"]
# All that models do, they do in a graph as well.
pytestmark = pytest.mark.usefixtures("in_graphs")


def each_case(function):
    return pytest.mark.parametrize("case", CASES, ids=str)(function)


def inputs_of(case, batch=3):
    low, high = case.input_range
    draws = np.random.default_rng(0).random((batch, *case.input_shape), "float32")
    return low + (high - low) * draws


def first_output(outputs):
    """The images of a layer that returns labels as well."""
    return outputs[0] if isinstance(outputs, tuple) else outputs


def as_model(case, dtype=None):
    component = case.make(dtype)
    if isinstance(component, keras.Model):
        return component
    inputs = keras.Input(case.input_shape)
    return keras.Model(inputs, first_output(component(inputs)))


def randomize(model):
    random = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(random.uniform(0.1, 0.9, weight.shape))


def exported_classes():
    for package in (kd.layers, kd.models):
        for name in package.__all__:
            component = getattr(package, name)
            if inspect.isclass(component) and component not in ABSTRACT:
                yield component


def test_every_export_has_a_case():
    assert {case.component for case in CASES} == set(exported_classes())


@pytest.mark.parametrize("component", list(exported_classes()), ids=lambda c: c.__name__)
def test_registered(component):
    expected = f"keras_deepfake>{component.__name__}"
    assert keras.saving.get_registered_name(component) == expected


@each_case
def test_configuration(case):
    component = case.make()
    arguments = set(inspect.signature(case.component.__init__).parameters) - {"self", "kwargs"}
    assert arguments <= set(component.get_config())
    serialized = json.dumps(keras.saving.serialize_keras_object(component))
    copy = keras.saving.deserialize_keras_object(json.loads(serialized))
    assert type(copy) is case.component
    assert json.dumps(keras.saving.serialize_keras_object(copy)) == serialized


@each_case
def test_shapes_and_training_step(case):
    model = as_model(case)
    outputs = model.predict_on_batch(inputs_of(case, 1))
    assert tuple(outputs.shape) == (1, *model.output_shape[1:])
    component = case.make()
    if not isinstance(component, keras.Model):
        component.build((None, *case.input_shape))
        shape = component.compute_output_shape((None, *case.input_shape))
        shape = shape[0] if isinstance(shape[0], tuple) else shape
        assert tuple(shape)[1:] == tuple(model.output_shape[1:])

    # Against zeros whatever the targets are, as self-blending doubles the batch.
    def mean_square(targets, outputs):
        return ops.mean(ops.square(outputs), axis=-1)

    model.compile(optimizer=keras.optimizers.SGD(0.1), loss=mean_square, metrics=None)
    before = model.get_weights()
    x = inputs_of(case, batch=4)
    model.fit(x, np.zeros((4, *model.output_shape[1:]), "float32"), batch_size=4, verbose=0)
    after = model.get_weights()
    changed = any(np.any(old != new) for old, new in zip(before, after, strict=True))
    assert changed == case.trains
    assert all(np.isfinite(weights).all() for weights in after)


@each_case
@pytest.mark.parametrize("policy", POLICIES)
def test_policy_reaches_every_layer(case, policy):
    model = as_model(case, policy)
    component = model if isinstance(model, case.component) else model.layers[1]
    for layer in component._flatten_layers():
        if not isinstance(layer, keras.layers.InputLayer):
            expected = "float32" if layer.name in case.float32_layers else policy
            assert layer.dtype_policy.name == expected, layer.name
    assert np.isfinite(predict(model, inputs_of(case)).astype("float32")).all()


def layers_to_freeze(model):
    """Half of the layers inside one of our models, at any depth; else the tested layer."""
    if isinstance(model, kd.models.DetectionModel):
        return model._flatten_layers(include_self=False)[::2]
    return model.layers[1:]


@pytest.fixture(scope="module")
def saved_models(tmp_path_factory):
    """Every case with random weights, saved with its inputs; returns what `predict_all` finds."""
    folder = tmp_path_factory.mktemp("models")
    expected = {}
    for case in CASES:
        keras.utils.set_random_seed(0)
        model = as_model(case)
        # Of the shape that JAX has compiled for the test above.
        inputs = inputs_of(case, 1)
        randomize(model)
        model.save(folder / f"{case}.keras")
        np.save(folder / f"{case}.npy", inputs)
        outputs = predict(model, inputs)
        expected[str(case)] = outputs, len(model.trainable_weights)
        for layer in layers_to_freeze(model):
            layer.trainable = False
        model.save(folder / f"{case}-frozen.keras")
        expected[f"{case}-frozen"] = all_weights(model), len(model.trainable_weights)
    return folder, expected


@pytest.mark.parametrize("backend", BACKENDS)
def test_saved_model_is_the_same_in_a_fresh_process(backend, saved_models, tmp_path):
    folder, expected = saved_models
    script = pathlib.Path(__file__).with_name("predict_all.py")
    subprocess.run(
        [sys.executable, script, folder, tmp_path / "outputs.npz"],
        check=True,
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with np.load(tmp_path / "outputs.npz") as loaded:
        for name, (outputs, trainable) in expected.items():
            np.testing.assert_allclose(
                loaded[name], outputs, rtol=1e-5, atol=1e-5, err_msg=f"{name} on {backend}"
            )
            assert loaded[f"{name}/trainable"] == trainable, name
