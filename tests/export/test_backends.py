import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake.export import export_detector


@pytest.fixture
def detector():
    images = keras.Input((None, None, 3))
    x = kd.layers.ConvBlock(2)(kd.layers.NeighboringPixelResidual()(images))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(images, keras.layers.Dense(2, "softmax")(x))
    return kd.models.Detector(model, class_names=("fake", "real"))


@pytest.mark.parametrize(
    ("path", "format", "backends"),
    [
        ("a.onnx", "onnx", ("tensorflow",)),
        ("a.tflite", "litert", ("tensorflow",)),
        ("a", "saved_model", ("tensorflow", "jax")),
    ],
)
def test_a_backend_exports_or_says_which_does(detector, path, format, backends, tmp_path):
    backend = keras.backend.backend()
    if backend in backends:
        card = export_detector(detector, tmp_path / path, format)
        assert card["versions"]["backend"] == backend
        return
    message = f"cannot be written on the {backend} backend .*KERAS_BACKEND=tensorflow"
    with pytest.raises(ValueError, match=message):
        export_detector(detector, tmp_path / path, format)
    assert not list(tmp_path.iterdir())


if keras.backend.backend() == "jax":

    def test_any_batch_and_size_from_jax(detector, tmp_path):
        import tensorflow as tf

        export_detector(detector, tmp_path / "a", "saved_model")
        served = tf.saved_model.load(tmp_path / "a")
        for shape in ((1, 20, 33, 3), (5, 40, 16, 3)):
            images = np.random.default_rng(0).integers(0, 256, shape, "uint8")
            outputs = served.serve(images)["probabilities"].numpy()
            np.testing.assert_allclose(outputs[:, 0], detector.scores(images), atol=1e-4)
