"""What ONNX has other operations for than TensorFlow."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_deepfake as kd
from keras_deepfake.export import export_detector
from keras_deepfake.export._formats import onnx_runtime

# Keras compiles grouped convolutions by functions, which are traced as such.
pytestmark = pytest.mark.usefixtures("in_graphs")


def networks_of_other_operations():
    images = keras.Input((16, 16, 3))
    for layer in (
        keras.layers.Conv2D(6, 3, groups=3),
        keras.layers.Conv2D(6, 3, activation="gelu"),
        keras.layers.Conv2D(6, 3, activation="silu"),
    ):
        features = keras.layers.GlobalAveragePooling2D()(layer(images))
        yield keras.Model(images, keras.layers.Dense(2, "softmax")(features))


def test_operations_that_onnx_lacks(tmp_path):
    """`export_detector` compares the artifact with the detector."""
    for i, model in enumerate(networks_of_other_operations()):
        export_detector(model, tmp_path / f"{i}.onnx", class_names=("fake", "real"))
    assert not tf.config.functions_run_eagerly()


def test_small_probabilities_keep_their_digits(tmp_path):
    """Where a calibrated detector shows them."""
    images = keras.Input((16, 16, 3))
    head = keras.layers.Dense(1, "sigmoid")
    model = keras.Model(images, head(keras.layers.GlobalAveragePooling2D()(images)))
    head.set_weights([np.full((3, 1), 30.0), np.array([-45.0])])
    detector = kd.models.Detector(model, class_names=("real", "fake"), weights=[1 / 8])
    export_detector(detector, tmp_path / "a.onnx")
    levels = np.arange(0, 128, dtype="uint8")
    grey = np.broadcast_to(levels[:, None, None, None], (128, 16, 16, 3))
    outputs = onnx_runtime(tmp_path / "a.onnx")(grey)
    logits = 90 * levels.astype("float64") / 255 - 45
    # Probabilities below 1e-30 count as that.
    expected = 1 / (1 + np.exp(-np.maximum(logits, np.log(1e-30)) / 8))
    np.testing.assert_allclose(outputs[:, 1], expected, rtol=1e-4)
