import numpy as np
import pytest
from keras import ops

import keras_deepfake as kd


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_divides_the_logits(temperature):
    logits = np.random.default_rng(0).normal(0, 3, (20, 2))
    for dtype in ("float32", "mixed_float16", "mixed_bfloat16"):
        layer = kd.layers.TemperatureScaling(temperature, dtype=dtype)
        outputs = layer(softmax(logits).astype("float32"))
        np.testing.assert_allclose(
            ops.convert_to_numpy(outputs), softmax(logits / temperature), atol=1e-6
        )
        layer = kd.layers.TemperatureScaling(temperature, activation="sigmoid", dtype=dtype)
        outputs = layer((1 / (1 + np.exp(-logits))).astype("float32"))
        np.testing.assert_allclose(
            ops.convert_to_numpy(outputs), 1 / (1 + np.exp(-logits / temperature)), atol=1e-6
        )


def test_certain_probabilities_stay_finite_and_in_order():
    scores = np.array([0, 1e-12, 1e-6, 0.5, 1 - 1e-6, 1], "float32")
    sigmoid = kd.layers.TemperatureScaling(3.0, activation="sigmoid")(scores[:, None])
    columns = kd.layers.TemperatureScaling(3.0)(np.stack([scores, 1 - scores], axis=1))
    for outputs in (sigmoid, columns):
        outputs = ops.convert_to_numpy(outputs)[:, 0]
        assert np.isfinite(outputs).all()
        assert (np.diff(outputs) > 0).all()


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf")])
def test_wrong_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match="`temperature` must be positive"):
        kd.layers.TemperatureScaling(temperature)


def test_wrong_activation_is_refused():
    with pytest.raises(ValueError, match="`activation` must be 'softmax' or 'sigmoid'"):
        kd.layers.TemperatureScaling(activation="tanh")
