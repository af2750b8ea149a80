import keras
import numpy as np
import pytest

from keras_deepfake.models import ConvAutoencoder, EncoderClassifier

IMAGES = np.random.default_rng(0).random((8, 16, 16, 3), "float32")
LABELS = keras.utils.to_categorical([0, 1] * 4)


@pytest.fixture
def autoencoder():
    return ConvAutoencoder((16, 16, 3), (6, 4))


def test_defaults_are_the_study():
    classifier = EncoderClassifier.from_autoencoder(ConvAutoencoder(), l1=0.01, l2=0.1)
    assert classifier.count_params() == 185_538
    assert classifier.output_shape == (None, 2)
    assert len(classifier.trainable_weights) == 8
    assert classifier.class_names == ("fake", "real")


def test_penalty_is_on_the_kernel_of_the_head(autoencoder):
    classifier = EncoderClassifier.from_autoencoder(autoencoder, l1=0.01, l2=0.1)
    kernel = classifier.get_layer("head").get_weights()[0]
    expected = 0.01 * np.abs(kernel).sum() + 0.1 * np.square(kernel).sum()
    penalty = float(keras.ops.convert_to_numpy(sum(classifier.losses)))
    assert penalty == pytest.approx(expected, rel=1e-5)
    assert EncoderClassifier.from_autoencoder(autoencoder).losses == []


def test_penalties_are_exact_in_the_configuration(autoencoder):
    config = EncoderClassifier.from_autoencoder(autoencoder, l1=0.01, l2=0.1).get_config()
    assert (config["l1"], config["l2"]) == (0.01, 0.1)


@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        ("softmax", keras.losses.CategoricalCrossentropy),
        ("sigmoid", keras.losses.BinaryCrossentropy),
    ],
)
def test_default_compile_settings(autoencoder, activation, loss):
    classifier = EncoderClassifier.from_autoencoder(autoencoder, activation=activation)
    classifier.compile()
    assert isinstance(classifier.loss, loss)
    assert isinstance(classifier.optimizer, keras.optimizers.Adam)
    history = classifier.fit(IMAGES, LABELS, verbose=0).history
    assert set(history) == {"loss", "accuracy", "precision", "recall"}


@pytest.mark.parametrize("class_names", [("fake", "real"), ("real", "fake")])
def test_precision_and_recall_are_those_of_the_fake_class(autoencoder, class_names):
    classifier = EncoderClassifier.from_autoencoder(autoencoder, class_names=class_names)
    classifier.compile()
    fake = class_names.index("fake")
    scores = classifier.predict(IMAGES, verbose=0)
    # Labels for which precision, recall and accuracy all differ.
    is_fake = np.array([1, 1, 1, 1, 1, 0, 0, 0])
    columns = np.where(is_fake == 1, fake, 1 - fake)
    # Shift the bias so that some, but not all, are called fake.
    head = classifier.get_layer("head")
    margin = np.median(np.log(scores[:, fake] / scores[:, 1 - fake]))
    bias = np.zeros(2, "float32")
    bias[fake] = -margin
    head.set_weights([head.get_weights()[0], bias])
    called = classifier.predict(IMAGES, verbose=0)[:, fake] > 0.5
    assert 0 < called.sum() < 8
    results = classifier.evaluate(
        IMAGES, keras.utils.to_categorical(columns, 2), verbose=0, return_dict=True
    )
    assert results["precision"] == pytest.approx(is_fake[called].mean())
    assert results["recall"] == pytest.approx(called[is_fake == 1].mean())
    assert results["accuracy"] == pytest.approx(np.mean(called == (is_fake == 1)))


@pytest.mark.parametrize(
    "loss",
    [
        "sparse_categorical_crossentropy",
        keras.losses.SparseCategoricalCrossentropy(),
        keras.losses.sparse_categorical_crossentropy,
    ],
)
def test_integer_labels(autoencoder, loss):
    classifier = EncoderClassifier.from_autoencoder(autoencoder)
    classifier.compile(loss=loss)
    integers = np.argmax(LABELS, axis=1)
    reached = classifier.evaluate(IMAGES, integers, verbose=0, return_dict=True)
    assert set(reached) == {"loss", "accuracy"}
    found = classifier.predict(IMAGES, verbose=0).argmax(axis=1)
    assert reached["accuracy"] == pytest.approx(np.mean(found == integers))


def test_more_classes_have_accuracy_only(autoencoder):
    classifier = EncoderClassifier.from_autoencoder(autoencoder, class_names=("a", "b", "c"))
    classifier.compile()
    labels = keras.utils.to_categorical([0, 1, 2, 0, 1, 2, 0, 1])
    assert set(classifier.fit(IMAGES, labels, verbose=0).history) == {"loss", "accuracy"}


def test_copy_is_bit_for_bit_and_independent(autoencoder):
    classifier = EncoderClassifier.from_autoencoder(autoencoder)
    assert classifier.encoder is not autoencoder.encoder
    pairs = list(
        zip(classifier.encoder.get_weights(), autoencoder.encoder.get_weights(), strict=True)
    )
    assert pairs
    for copied, original in pairs:
        np.testing.assert_array_equal(copied, original)
    classifier.compile()
    classifier.fit(IMAGES, LABELS, verbose=0)
    for (_, before), after in zip(pairs, autoencoder.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_freezing_the_copy_leaves_the_autoencoder_trainable(autoencoder):
    classifier = EncoderClassifier.from_autoencoder(autoencoder, trainable_encoder=False)
    assert len(classifier.trainable_weights) == 2
    assert len(autoencoder.trainable_weights) == 10
    before = classifier.encoder.get_weights()
    classifier.compile()
    classifier.fit(IMAGES, LABELS, verbose=0)
    for a, b in zip(before, classifier.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_linear_probe_then_fine_tuning(autoencoder):
    classifier = EncoderClassifier.from_autoencoder(autoencoder, trainable_encoder=False)
    classifier.encoder.trainable = True
    assert len(classifier.trainable_weights) == 6


def test_copy_of_a_frozen_encoder_is_trainable_by_default(autoencoder):
    autoencoder.encoder.trainable = False
    classifier = EncoderClassifier.from_autoencoder(autoencoder)
    assert len(classifier.trainable_weights) == 6
    assert len(autoencoder.encoder.trainable_weights) == 0


def test_shared_encoder(autoencoder):
    classifier = EncoderClassifier.from_autoencoder(autoencoder, copy_encoder=False)
    assert classifier.encoder is autoencoder.encoder
    with pytest.raises(ValueError, match="shared encoder"):
        EncoderClassifier.from_autoencoder(autoencoder, copy_encoder=False, dtype="mixed_bfloat16")


def test_from_a_loaded_autoencoder(autoencoder, tmp_path):
    autoencoder.save(tmp_path / "autoencoder.keras")
    loaded = keras.saving.load_model(tmp_path / "autoencoder.keras")
    classifier = EncoderClassifier.from_autoencoder(loaded)
    expected = autoencoder.encode(IMAGES)
    np.testing.assert_allclose(classifier.encoder.predict(IMAGES, verbose=0), expected, atol=1e-6)


def test_from_any_model_with_an_encoder():
    class Other(keras.Model):
        def __init__(self):
            super().__init__()
            self.encoder = keras.Sequential(
                [keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3, strides=2)]
            )

    other = Other()
    classifier = EncoderClassifier.from_autoencoder(other, pooling="avg")
    assert classifier.predict(IMAGES, verbose=0).shape == (8, 2)
    with pytest.raises(ValueError, match="`encoder` attribute"):
        EncoderClassifier.from_autoencoder(keras.Sequential())


def test_application_as_encoder():
    encoder = keras.applications.MobileNetV2(
        (32, 32, 3), alpha=0.35, include_top=False, weights=None
    )
    classifier = EncoderClassifier(encoder, pooling="avg")
    assert classifier.output_shape == (None, 2)
    assert classifier.count_params() == encoder.count_params() + 1280 * 2 + 2


@pytest.mark.parametrize("pooling", ["avg", "max", "gem"])
def test_pooled_classifier_accepts_other_sizes(autoencoder, pooling, tmp_path):
    classifier = EncoderClassifier.from_autoencoder(autoencoder, pooling=pooling)
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras")
    for model in (classifier, loaded):
        assert model.input_shape == (None, 16, 16, 3)
        assert model.predict(IMAGES[:, :8, :12], verbose=0).shape == (8, 2)


def test_subclassed_model_inside_the_encoder():
    class Inner(keras.Model):
        def __init__(self):
            super().__init__()
            self.convolution = keras.layers.Conv2D(4, 3)

        def call(self, inputs):
            return self.convolution(inputs)

    images = keras.Input((16, 16, 3))
    encoder = keras.Model(images, Inner()(images))
    classifier = EncoderClassifier(encoder, pooling="avg")
    assert classifier.predict(IMAGES[:, :8, :12], verbose=0).shape == (8, 2)


def test_flattening_keeps_its_size(autoencoder):
    classifier = EncoderClassifier.from_autoencoder(autoencoder)
    with pytest.raises(ValueError, match="shape"):
        classifier.predict(IMAGES[:, :8, :12], verbose=0)
    open_size = ConvAutoencoder((None, None, 3), (6, 4))
    with pytest.raises(ValueError, match="Use another pooling"):
        EncoderClassifier.from_autoencoder(open_size)


def test_channels_first_pools_over_space():
    autoencoder = ConvAutoencoder((3, 16, 16), (6, 5), data_format="channels_first")
    classifier = EncoderClassifier.from_autoencoder(autoencoder, pooling="avg")
    assert classifier.get_layer("head").get_weights()[0].shape == (5, 2)


def test_dtype_rebuilds_the_copy(autoencoder):
    classifier = EncoderClassifier.from_autoencoder(autoencoder, dtype="mixed_bfloat16")
    assert classifier.encoder.layers[-1].dtype_policy.name == "mixed_bfloat16"
    assert autoencoder.encoder.layers[-1].dtype_policy.name == "float32"
    assert classifier.get_layer("head").dtype_policy.name == "float32"
    assert classifier.predict(IMAGES, verbose=0).dtype == "float32"


def test_mixed_autoencoder_gives_a_mixed_classifier():
    autoencoder = ConvAutoencoder((16, 16, 3), (6, 4), dtype="mixed_bfloat16")
    classifier = EncoderClassifier.from_autoencoder(autoencoder)
    assert classifier.encoder.layers[-1].dtype_policy.name == "mixed_bfloat16"
    assert classifier.dtype_policy.name == "mixed_bfloat16"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pooling": "mean"}, "got 'mean'"),
        ({"activation": "relu"}, "`activation` must be .* got 'relu'"),
        ({"l1": -0.1}, "`l1` must be .* got -0.1"),
        ({"dropout": 1.0}, "`dropout` must be .* got 1.0"),
        ({"class_names": ("fake",)}, "`class_names`"),
        ({"class_names": ("fake", "fake")}, "`class_names`"),
    ],
)
def test_argument_errors(autoencoder, arguments, message):
    with pytest.raises(ValueError, match=message):
        EncoderClassifier.from_autoencoder(autoencoder, **arguments)


@pytest.mark.once
@pytest.mark.parametrize("name", ["images", "pooling", "dropout", "head"])
def test_an_encoder_is_not_called_like_a_layer_of_the_classifier(name):
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)], name=name)
    with pytest.raises(ValueError, match=rf"`encoder` must not be called '{name}'"):
        EncoderClassifier(encoder, pooling="avg", dropout=0.5)
    encoder.name = f"my_{name}"
    EncoderClassifier(encoder, pooling="avg", dropout=0.5)


def test_encoder_errors():
    with pytest.raises(ValueError, match="must be a Keras model"):
        EncoderClassifier(keras.layers.Conv2D(4, 3))
    with pytest.raises(ValueError, match="is not built"):
        EncoderClassifier(keras.Sequential([keras.layers.Conv2D(4, 3)]))
    number = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Reshape((4, 4, 4, 12))])
    with pytest.raises(ValueError, match="a feature map of 4 axes"):
        EncoderClassifier(number)
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])
    with pytest.raises(ValueError, match="`dtype` must be the name of a floating-point dtype"):
        EncoderClassifier(encoder, dtype="int32")


def test_training_state_survives_saving(autoencoder, tmp_path):
    classifier = EncoderClassifier.from_autoencoder(autoencoder, l1=1e-3, pooling="gem")
    classifier.compile()
    classifier.fit(IMAGES, LABELS, epochs=2, batch_size=8, verbose=0)
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras")
    assert int(loaded.optimizer.iterations) == 2
    expected = classifier.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)
    results = loaded.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)
    assert results == pytest.approx(expected, abs=1e-5)
    assert set(results) == {"loss", "accuracy", "precision", "recall"}


class Unregistered(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs


def test_encoder_of_any_live_layers():
    encoder = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Lambda(lambda x: x - 0.5),
            Unregistered(),
            keras.layers.Conv2D(2, 3),
        ]
    )

    class WithEncoder:
        pass

    model = WithEncoder()
    model.encoder = encoder
    classifier = EncoderClassifier.from_autoencoder(model)
    np.testing.assert_array_equal(
        classifier.encoder.predict(IMAGES, verbose=0), encoder.predict(IMAGES, verbose=0)
    )
    assert classifier.encoder is not encoder


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_quantized_classifier_survives_saving(autoencoder, mode, tmp_path):
    classifier = EncoderClassifier.from_autoencoder(autoencoder, pooling="avg")
    classifier.quantize(mode)
    assert classifier.get_layer("head").quantization_mode == mode
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras")
    assert loaded.get_layer("head").quantization_mode == mode
    np.testing.assert_array_equal(
        loaded.predict(IMAGES, verbose=0), classifier.predict(IMAGES, verbose=0)
    )


def test_an_encoder_may_give_its_output_in_a_list(tmp_path):
    images = np.random.default_rng(0).random((2, 16, 16, 3), "float32")
    inputs = keras.Input((None, None, 3))
    config = keras.Model(
        inputs, keras.layers.ReLU()(keras.layers.Conv2D(4, 3)(inputs))
    ).get_config()
    # As files have it whose outputs were given as a list.
    encoder = keras.Model.from_config({**config, "output_layers": [config["output_layers"]]})
    assert isinstance(encoder(inputs), list)
    classifier = EncoderClassifier(encoder, pooling="avg")
    expected = keras.ops.convert_to_numpy(keras.tree.flatten(encoder(images))[0]).mean(axis=(1, 2))
    head = classifier.get_layer("head")
    np.testing.assert_allclose(
        classifier.predict(images, verbose=0),
        keras.ops.convert_to_numpy(head(expected)),
        rtol=1e-5,
    )
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras")
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), classifier.predict(images, verbose=0)
    )
