import inspect
import warnings

import h5py
import keras
import numpy as np
import pytest

import keras_deepfake as kd


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


def images(count=8):
    return np.random.default_rng(0).random((count, 8, 8, 3), "float32")


def one_hot(count=8):
    return np.eye(2, dtype="float32")[[0, 1] * (count // 2)]


def classifier(**arguments):
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    return kd.models.EncoderClassifier(encoder, pooling="avg", **arguments)


def compiled(loss="auto", **arguments):
    model = classifier(**arguments)
    model.compile(loss=loss, metrics=[])
    return model


def autoencoder():
    model = kd.models.ConvAutoencoder((8, 8, 3), filters=(4,))
    model.compile()
    return model


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


class CountedData(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.x, self.y


def tf_dataset(x, y, class_names=None):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    if class_names is not None:
        dataset.class_names = class_names
    return dataset


def as_arrays(x, y):
    return {"x": x, "y": y}


def as_tensors(x, y):
    return {"x": keras.ops.convert_to_tensor(x), "y": keras.ops.convert_to_tensor(y)}


def as_tf_dataset(x, y):
    return {"x": tf_dataset(x, y)}


def as_py_dataset(x, y):
    return {"x": CountedData(x, y)}


each_kind = pytest.mark.parametrize(
    "kind", [as_arrays, as_tensors, as_tf_dataset, as_py_dataset], ids=lambda kind: kind.__name__
)


class TestFirstBatch:
    @each_kind
    def test_pixels_of_another_range_warn(self, kind):
        x = images() * 255
        for pixels, message in (
            (x, r"in \[0, 1\].*values from.*to 25\d.*Divide by 255"),
            (x.astype("uint8"), "dtype uint8"),
        ):
            model, data = compiled(), kind(pixels, one_hot())
            # As an error it saves the training, in which nothing more is looked at.
            with warnings.catch_warnings():
                warnings.filterwarnings("error", message=".*pixel values")
                with pytest.raises(UserWarning, match=message):
                    model.fit(**data, verbose=0)

    @each_kind
    def test_pixels_in_range_do_not_warn(self, kind):
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*pixel values")
            compiled().fit(**kind(images(), one_hot()), verbose=0)

    @each_kind
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_pixels_that_are_not_finite_raise(self, kind, value):
        x, model = images(), compiled()
        x[1, 2, 3, 0] = value
        before = model.get_weights()
        with pytest.raises(ValueError, match="`x` must hold finite pixel values"):
            model.fit(**kind(x, one_hot()), verbose=0)
        np.testing.assert_array_equal(model.get_weights()[0], before[0])

    @each_kind
    def test_class_numbers_under_a_one_hot_loss_raise(self, kind):
        for labels in ([[0], [1]] * 4, [[0.0], [1.0]] * 4, [0, 1] * 4):
            data = kind(images(), np.array(labels))
            for loss in ("auto", "categorical_crossentropy", "BinaryCrossentropy"):
                with pytest.raises(ValueError, match=r"sparse_categorical_crossentropy.*one-hot"):
                    compiled(loss).fit(**data, verbose=0)
        compiled("sparse_categorical_crossentropy").fit(**data, verbose=0)

    def test_images_without_targets_raise(self):
        import tensorflow as tf

        x, y = images(), one_hot()
        unlabelled = tf.data.Dataset.from_tensor_slices(x).batch(4)
        for model in (compiled(), autoencoder()):
            for data in (x, unlabelled, CountedData(x, None)):
                with pytest.raises(
                    ValueError, match=r"`x` comes without .*`fit\(images, images\)`"
                ):
                    model.fit(data, verbose=0)
                with pytest.raises(ValueError, match="`validation_data` comes without"):
                    model.fit(x, y, validation_data=data, verbose=0)
        # A model may add its losses by itself.
        compiled(loss=None).fit(x, epochs=0, verbose=0)

    def test_validation_data_is_checked(self):
        x, y = images(), one_hot()
        numbers = np.array([0, 1] * 4)
        for validation in ((x, numbers), tf_dataset(x, numbers)):
            with pytest.raises(ValueError, match="labels of `validation_data` are class numbers"):
                compiled().fit(x, y, validation_data=validation, verbose=0)
        with pytest.warns(UserWarning, match="`validation_data` should hold pixel values"):
            compiled().fit(x, y, validation_data=(x * 255, y), verbose=0)

    def test_generators_are_not_consumed(self):
        taken = []

        def batches():
            while True:
                taken.append(1)
                yield images(), one_hot()

        keras_model = keras.Sequential([keras.Input((8, 8, 3)), classifier()])
        keras_model.compile("sgd", "categorical_crossentropy")
        keras_model.fit(batches(), steps_per_epoch=2, verbose=0)
        expected = len(taken)
        taken.clear()
        compiled().fit(batches(), steps_per_epoch=2, verbose=0)
        assert len(taken) == expected

    def test_a_dataset_is_read_before_the_first_training_only(self):
        import tensorflow as tf

        read = []

        def count(x, y):
            read.append(1)
            return x, y

        dataset = tf.data.Dataset.from_tensor_slices((images(), one_hot()))
        dataset = dataset.map(lambda x, y: tf.numpy_function(count, [x, y], [tf.float32] * 2))
        shapes = [(8, 8, 3), (2,)]
        dataset = dataset.map(lambda x, y: tuple(map(tf.ensure_shape, (x, y), shapes))).batch(8)
        plain = keras.Sequential([keras.Input((8, 8, 3)), classifier()])
        plain.compile("sgd", "categorical_crossentropy")
        reads = {}
        for model in (compiled(), plain):
            for fit in range(3):
                read.clear()
                model.fit(dataset, verbose=0)
                reads[model is plain, fit] = len(read)
        # On JAX and torch Keras looks at a batch first too.
        assert [reads[False, fit] - reads[True, fit] for fit in range(3)] == [8, 0, 0]


@pytest.mark.once
class TestClassNames:
    @pytest.mark.parametrize(
        ("model_names", "data_names"),
        [
            (("fake", "real"), ("FAKE", "REAL")),
            (("fake", "real"), ("0_manipulated", "1_original")),
            (("a", "b"), ("a", "b")),
            (("real", "swap", "fake"), ("real", "swap", "fake")),
        ],
    )
    def test_same_order(self, model_names, data_names):
        labels = keras.utils.to_categorical([0, 1] * 4, len(model_names))
        data = tf_dataset(images(), labels, data_names)
        compiled(class_names=model_names).fit(data, validation_data=data, verbose=0)

    @pytest.mark.parametrize(
        ("model_names", "data_names"),
        [
            (("fake", "real"), ("real", "fake")),
            (("fake", "real"), ("0_real", "1_fake")),
            (("a", "b"), ("b", "a")),
            (("fake", "real"), ("a", "b")),
            (("real", "swap", "fake"), ("swap", "real", "fake")),
        ],
    )
    def test_another_order_raises(self, model_names, data_names):
        labels = keras.utils.to_categorical([0, 1] * 4, len(model_names))
        model = compiled(class_names=model_names)
        data, plain = tf_dataset(images(), labels, data_names), tf_dataset(images(), labels)
        with pytest.raises(ValueError, match=r"classes of `x` are .* those of the model"):
            model.fit(data, verbose=0)
        with pytest.raises(ValueError, match="classes of `validation_data` are"):
            model.fit(plain, validation_data=data, verbose=0)


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


def test_signatures_are_those_of_keras():
    for name in ("fit", "load_weights", "save"):
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
