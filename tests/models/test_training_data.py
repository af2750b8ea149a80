import warnings

import keras
import numpy as np
import pytest

import keras_deepfake as kd
from tests.models.small_classifiers import classifier, compiled, images, one_hot


def autoencoder():
    model = kd.models.ConvAutoencoder((8, 8, 3), filters=(4,))
    model.compile()
    return model


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

    @each_kind
    @pytest.mark.parametrize("labels", [[1, 2] * 4, [-1, 0] * 4, [0.5, 1] * 4])
    def test_numbers_that_no_column_has_raise(self, kind, labels):
        data = kind(images(), np.array(labels))
        with pytest.raises(ValueError, match=r"labels of `x` must be class numbers from 0 to 1,"):
            compiled("sparse_categorical_crossentropy").fit(**data, verbose=0)

    def test_all_class_numbers_of_an_array_are_looked_at(self):
        labels = np.array([0] * 7 + [2])
        with pytest.raises(ValueError, match=r"got values such as \[0, 2\]"):
            compiled("sparse_categorical_crossentropy").fit(images(), labels, 2, verbose=0)

    @each_kind
    def test_images_without_batches_raise(self, kind):
        import tensorflow as tf

        x, y = images(), one_hot()
        if kind is as_tf_dataset:
            data = {"x": tf.data.Dataset.from_tensor_slices((x, y))}
        else:
            data = kind(x[0], y[0])
        with pytest.raises(ValueError, match=r"`x` has no batches: .*\(8, 8, 3\).*\.batch\(32\)"):
            compiled().fit(**data, verbose=0)

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
            (("fake", "real"), ["0", "1"]),
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
        with pytest.raises(ValueError, match=r"classes of `x` are .* those of the model"):
            model.evaluate(data, verbose=0)
        with pytest.raises(ValueError, match="classes of `validation_data` are"):
            model.fit(plain, validation_data=data, verbose=0)
