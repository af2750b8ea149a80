import inspect

import h5py
import keras
import numpy as np
import pytest

import keras_deepfake as kd
from tests.models.small_classifiers import classifier, compiled, images, one_hot


@keras.saving.register_keras_serializable("tests")
class Hidden(keras.layers.Layer):
    """Holds a random layer that its own `call` says nothing about."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = keras.layers.RandomFlip("horizontal", seed=0)

    def call(self, inputs):
        return self.inner(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape


def random_classifier():
    """Random layers at every depth, in an encoder that sees where something is."""
    inner = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.RandomFlip(seed=1), keras.layers.GaussianNoise(0.3)]
    )
    encoder = keras.Sequential(
        [keras.Input((8, 8, 3)), inner, Hidden(), keras.layers.Conv2D(4, 3, activation="relu")]
    )
    return kd.models.EncoderClassifier(encoder)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


class TestInference:
    def test_random_layers_do_nothing_when_called(self):
        model = random_classifier()
        outer = keras.Sequential([keras.Input((8, 8, 3)), model])
        expected = model.predict(images(), verbose=0)
        for called in (model, outer):
            for training in (None, False):
                outputs = numpy(called(images(), training=training))
                np.testing.assert_allclose(outputs, expected, atol=1e-6)
        assert np.abs(numpy(model(images(), training=True)) - expected).max() > 1e-3

    # Only TensorFlow has this export.
    if keras.backend.backend() == "tensorflow":

        def test_random_layers_do_nothing_in_a_saved_model(self, tmp_path):
            import tensorflow as tf

            model = random_classifier()
            model.export(tmp_path / "exported", verbose=False)
            loaded = tf.saved_model.load(str(tmp_path / "exported"))
            np.testing.assert_allclose(
                loaded.serve(images()), model.predict(images(), verbose=0), atol=1e-6
            )


class Poison(keras.callbacks.Callback):
    """Makes a weight NaN before some batch."""

    def __init__(self, epoch, batch, value=np.nan):
        super().__init__()
        self.at, self.value = (epoch, batch), value

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            weight = self.model.trainable_variables[0]
            weight.assign(np.full(weight.shape, self.value, "float32"))


class Written(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)


def hiding_relu():
    """A network whose loss stays finite when weights become NaN, as ReLU on TensorFlow does it."""

    @keras.saving.register_keras_serializable("tests")
    class Hide(keras.layers.Layer):
        def call(self, inputs):
            return keras.ops.where(keras.ops.isnan(inputs), 0.0, inputs)

    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), Hide()])
    model = kd.models.EncoderClassifier(encoder, pooling="avg")
    model.compile("sgd")
    return model


class TestDivergence:
    def test_loss(self):
        model, written = compiled(), Written()
        model.compile(keras.optimizers.SGD(1e38))
        with pytest.raises(FloatingPointError, match=r"diverged in epoch 0 .*`loss` is (nan|inf)"):
            model.fit(images(16), one_hot(16), batch_size=2, verbose=0, callbacks=[written])
        assert written.epochs == []

    @pytest.mark.parametrize(
        ("moment", "epoch", "message"),
        [((0, 0), 0, "after the first batch"), ((1, 1), 1, "at its end")],
    )
    def test_weights_behind_a_finite_loss(self, moment, epoch, message):
        written = Written()
        with pytest.raises(
            FloatingPointError, match=f"epoch {epoch} {message}.*weight '.*kernel' is not finite"
        ):
            hiding_relu().fit(
                images(),
                one_hot(),
                batch_size=2,
                epochs=3,
                verbose=0,
                callbacks=[Poison(*moment), written],
            )
        assert written.epochs == list(range(epoch))

    def test_validation_loss(self):
        x = images()
        x[-1, 0, 0, 0] = np.nan
        model = kd.models.ConvAutoencoder((8, 8, 3), filters=(4,))
        model.compile()
        with pytest.raises(FloatingPointError, match=r"at its end.*`val_loss` is nan"):
            model.fit(x[:4], x[:4], validation_data=(x, x), validation_batch_size=2, verbose=0)

    def test_a_ready_callback_list(self):
        model, written = hiding_relu(), Written()
        callbacks = keras.callbacks.CallbackList(
            [Poison(1, 0), written], add_history=True, model=model, epochs=3
        )
        for _ in range(2):
            written.epochs.clear()
            with pytest.raises(FloatingPointError, match="epoch 1"):
                model.fit(images(), one_hot(), epochs=3, verbose=0, callbacks=callbacks)
            assert written.epochs == [0]
            model = hiding_relu()
            callbacks.set_model(model)


class TestSaving:
    @pytest.mark.once
    @pytest.mark.parametrize("name", ["model.h5", "model.hdf5", "model.weights.h5"])
    def test_older_formats_are_refused(self, name, tmp_path):
        with pytest.raises(ValueError, match=r"must end in `\.keras`; got .*" + name):
            classifier().save(tmp_path / name)
        assert not (tmp_path / name).exists()

    @pytest.mark.once
    @pytest.mark.parametrize("inside", [False, True])
    def test_older_formats_by_the_function(self, inside, tmp_path):
        model = keras.Sequential([classifier()]) if inside else classifier()
        with pytest.raises(ValueError, match=r"HDF5, cannot hold this model; .*`save\('x\.keras"):
            keras.saving.save_model(model, tmp_path / "model.h5")

    def test_weights_alone(self, tmp_path):
        model, other = classifier(), classifier()
        model.save_weights(tmp_path / "model.weights.h5")
        other.load_weights(tmp_path / "model.weights.h5")
        np.testing.assert_array_equal(
            other.predict(images(), verbose=0), model.predict(images(), verbose=0)
        )

    def test_a_refused_file_changes_nothing(self, tmp_path):
        path = tmp_path / "model.weights.h5"
        classifier().save_weights(path)
        with h5py.File(path, "r+") as file:
            del file["layers/dense/vars/1"]
        model = compiled()
        before = model.get_weights()
        with pytest.raises(ValueError, match="could not be loaded"):
            model.load_weights(path)
        for value, expected in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("arguments", [{}, {"optimizer": "sgd", "loss": "mse"}])
def test_a_compiled_model_is_cloned(arguments):
    autoencoder = kd.models.ConvAutoencoder((8, 8, 3), (4,))
    members = [classifier(), kd.models.EncoderClassifier.from_autoencoder(autoencoder)]
    for model in (autoencoder, members[1], kd.models.Detector(members[1])):
        model.compile(**arguments)
        clone = keras.models.clone_model(model)
        assert clone.compiled
        clone.set_weights(model.get_weights())
        np.testing.assert_allclose(
            clone.predict(images(), verbose=0), model.predict(images(), verbose=0), atol=1e-6
        )


def test_signatures_are_those_of_keras():
    for name in ("fit", "evaluate", "load_weights", "save"):
        own = getattr(kd.models.DetectionModel, name)
        assert inspect.signature(own) == inspect.signature(getattr(keras.Model, name))
    with pytest.raises(TypeError, match="epoch"):
        compiled().fit(images(), one_hot(), epoch=2)


@pytest.mark.parametrize(
    "model", [lambda: kd.models.ConvAutoencoder((8, 8, 3), filters=(4,)), classifier]
)
def test_a_graph_that_is_not_connected_says_so(model):
    model = model()
    inner = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    with pytest.raises(ValueError, match="not connected"):
        keras.Model(model.input, inner.output)
