import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake.models import set_trainable

IMAGES = np.random.default_rng(0).random((4, 8, 8, 3), "float32")
LABELS = np.eye(2, dtype="float32")[[0, 1, 0, 1]]
# 4 patches of 4 x 4 pixels as tokens of 6 channels; the head has 2 x 6 + 2 parameters.
HEAD = 14
PATCHES = 4 * 4 * 3 * 6 + 6
# Query, key and value of two heads of 3, and what joins them.
ATTENTION = 3 * (6 * 6 + 6) + (6 * 6 + 6)
NORM = 2 * 6
MLP = 6 * 8 + 8 + 8 * 6 + 6


@keras.saving.register_keras_serializable("tests")
class Block(keras.layers.Layer):
    """A transformer block with a weight of its own beside its layers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = keras.layers.LayerNormalization(name="norm")
        self.attention = keras.layers.MultiHeadAttention(2, 3, name="attention")
        self.mlp = [keras.layers.Dense(8, "relu", name="up"), keras.layers.Dense(6, name="down")]

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(6,), initializer="ones", name="scale")
        self.norm.build(input_shape)
        self.attention.build(input_shape, input_shape)
        self.mlp[0].build(input_shape)
        self.mlp[1].build((*input_shape[:-1], 8))

    def call(self, x):
        y = self.norm(x)
        x = x + self.scale * self.attention(y, y)
        return x + self.mlp[1](self.mlp[0](x))

    def compute_output_shape(self, input_shape):
        return input_shape


BLOCK = 6 + NORM + ATTENTION + MLP
ALL = HEAD + PATCHES + 2 * BLOCK + NORM
# Of LoRA's two factors a rank: one number for each input of a kernel, and for each output.
PATCHES_LORA = 2 * (4 * 4 * 3 + 6)


def classifier():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 4, 4, name="patches")(inputs)
    x = keras.layers.Reshape((4, 6), name="tokens")(x)
    x = Block(name="block_1")(x)
    x = Block(name="block_2")(x)
    encoder = keras.Model(inputs, keras.layers.LayerNormalization(name="norm")(x), name="encoder")
    return kd.EncoderClassifier(encoder, pooling="avg")


def trained_count(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def predict(model):
    return model.predict(IMAGES, verbose=0)


def saved_and_loaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.saving.load_model(tmp_path / "model.keras")


# Query, key and value have kernels (6, 2, 3), that which joins them (2, 3, 6), the dense ones
# (6, 8) and (8, 6).
BLOCK_LORA = 2 * (3 * (6 * 2 + 3) + (2 * 3 + 6) + (6 + 8) + (8 + 6))
COUNTS = {
    "all": ALL,
    "none": HEAD,
    "norms": HEAD + 3 * NORM,
    "block_2": HEAD + BLOCK + NORM,
    "norm": HEAD + NORM,
    "lora": HEAD + PATCHES_LORA + 2 * BLOCK_LORA,
}


@pytest.mark.parametrize(
    ("part", "count"),
    [
        pytest.param(*item, marks=() if item[0] in ("norms", "lora") else pytest.mark.once)
        for item in COUNTS.items()
    ],
)
def test_exact_counts_survive_saving(part, count, tmp_path):
    model = classifier()
    rank = 2 if part == "lora" else None
    assert set_trainable(model, part, rank) == trained_count(model) == count
    loaded = saved_and_loaded(model, tmp_path)
    assert trained_count(loaded) == count
    assert trained_count(saved_and_loaded(loaded, tmp_path)) == count
    np.testing.assert_allclose(predict(loaded), predict(model), atol=1e-6)
    shapes = [tuple(weight.shape) for weight in model.trainable_weights]
    assert [tuple(weight.shape) for weight in loaded.trainable_weights] == shapes


@pytest.mark.parametrize(
    "part",
    [
        pytest.param("none", marks=pytest.mark.once),
        pytest.param("norms", marks=pytest.mark.once),
        "block_2",
        "lora",
    ],
)
def test_training_changes_the_part_alone(part):
    model = classifier()
    set_trainable(model, part)
    model.compile(keras.optimizers.SGD(0.1))
    before = [np.copy(value) for value in model.get_weights()]
    trained = {id(weight) for weight in model.trainable_weights}
    model.fit(IMAGES, LABELS, batch_size=2, verbose=0)
    for weight, old, new in zip(model.weights, before, model.get_weights(), strict=True):
        # A softmax does not see the bias of the keys, which shifts all scores alike.
        if weight.path.endswith("key/bias"):
            continue
        assert np.array_equal(old, new) == (id(weight) not in trained), weight.path


@pytest.mark.once
def test_the_last_choice_counts():
    model = classifier()
    for part in ("norms", "none", "block_2", "norms", "all", "norms"):
        set_trainable(model, part)
        assert trained_count(model) == COUNTS[part]


def test_batch_statistics_rest_unless_their_layer_is_trained():
    layers = [keras.layers.Conv2D(4, 3, name="conv"), keras.layers.BatchNormalization(name="norm")]
    encoder = keras.Sequential([keras.Input((8, 8, 3)), *layers, keras.layers.Conv2D(2, 3)])
    model = kd.EncoderClassifier(encoder, pooling="avg")
    # The head 2 x 2 + 2; of the normalization scale and offset, not the two statistics.
    assert set_trainable(model, "norms") == 6 + 2 * 4
    norm = encoder.get_layer("norm")
    for part, moves in (("none", False), ("norms", True)):
        set_trainable(model, part)
        model.compile("sgd")
        before = keras.ops.convert_to_numpy(norm.moving_mean).copy()
        model.fit(IMAGES, LABELS, verbose=0)
        after = keras.ops.convert_to_numpy(norm.moving_mean)
        assert np.array_equal(before, after) != moves


@pytest.mark.once
def test_any_model():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    assert set_trainable(model, model.layers[1].name) == 4 * 2 + 2
    assert set_trainable(model, "none") == 0
    assert set_trainable(model, "lora", rank=1) == (3 + 4) + (4 + 2)


@pytest.mark.once
def test_the_autoencoder_behind_a_residual_stays_frozen():
    autoencoder = kd.models.ConvAutoencoder((8, 8, 3), filters=(4,), normalization="batch")
    model = kd.EncoderClassifier.from_autoencoder(autoencoder, features="residual", pooling="avg")
    # The head 4 x 2 + 2, scale and offset of the one block of the encoder.
    assert set_trainable(model, "norms") == 10 + 2 * 4
    # The convolution 3 x 3 x 3 to 4.
    assert set_trainable(model, "lora", rank=1) == 10 + 27 + 4


def lora_classifier():
    model = classifier()
    set_trainable(model, "lora", rank=2)
    model.compile(keras.optimizers.SGD(0.5))
    model.fit(IMAGES, LABELS, epochs=1, verbose=0)
    return model


def test_lora_goes_on_after_loading(tmp_path):
    """Keras loads both factors as zeros, through which no gradient flows."""
    model = lora_classifier()
    loaded = saved_and_loaded(model, tmp_path)
    kernel = loaded.encoder.get_layer("block_2").mlp[0]._kernel
    before, outputs = keras.ops.convert_to_numpy(kernel).copy(), predict(loaded)
    np.testing.assert_allclose(outputs, predict(model), atol=1e-6)
    loaded.fit(IMAGES, LABELS, epochs=2, verbose=0)
    layer = loaded.encoder.get_layer("block_2").mlp[0]
    for factor in (layer.lora_kernel_a, layer.lora_kernel_b):
        assert np.abs(keras.ops.convert_to_numpy(factor)).max() > 0
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(kernel), before)
    assert np.abs(predict(loaded) - outputs).max() > 1e-4
    assert trained_count(loaded) == COUNTS["lora"]


def assert_lora_trains(model, train):
    first, second = (np.array(x) for x in lora_kernels(model))
    assert first.any()
    train(model)
    assert not np.array_equal(first, np.array(lora_kernels(model)[0]))
    assert not np.array_equal(second, np.array(lora_kernels(model)[1]))


def lora_kernels(model):
    (layer, *_) = (x for x in model._flatten_layers() if getattr(x, "lora_enabled", False))
    return [keras.ops.convert_to_numpy(x) for x in (layer.lora_kernel_a, layer.lora_kernel_b)]


def train_two_batches(model):
    for _ in range(2):  # the first changes the factor that starts from zero
        model.train_on_batch(IMAGES, LABELS)


def test_lora_goes_on_in_any_model_and_any_loop(tmp_path):
    plain = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    )
    set_trainable(plain, "lora", rank=2)
    plain.compile(keras.optimizers.SGD(0.5), "categorical_crossentropy")
    plain.fit(IMAGES, LABELS, verbose=0)
    loaded = saved_and_loaded(plain, tmp_path)
    set_trainable(loaded, "lora", rank=2)
    loaded.compile(keras.optimizers.SGD(0.5), "categorical_crossentropy")
    assert_lora_trains(loaded, train_two_batches)

    loaded = saved_and_loaded(lora_classifier(), tmp_path)
    train_two_batches(loaded)
    model = lora_classifier()
    model.save_weights(tmp_path / "model.weights.h5")
    model.load_weights(tmp_path / "model.weights.h5")
    for trained in (loaded, model):
        assert_lora_trains(trained, train_two_batches)


@pytest.mark.usefixtures("in_graphs")
def test_what_was_computed_before_lora_or_quantization_is_computed_anew():
    """Keras keeps what TensorFlow has traced, with the weights that there were."""
    model = classifier()
    detector = kd.Detector(model)
    before = detector.scores(IMAGES), predict(model), detector.predict(IMAGES, verbose=0)[:, 0]
    set_trainable(detector, "lora", rank=2)
    detector.compile(keras.optimizers.SGD(0.5), "categorical_crossentropy")
    detector.fit(IMAGES, LABELS, epochs=2, verbose=0)

    def now():
        member = detector.members[0]
        fake = keras.ops.convert_to_numpy(member(IMAGES))[:, 0]
        np.testing.assert_allclose(predict(member)[:, 0], fake, atol=1e-5)
        np.testing.assert_allclose(detector.scores(IMAGES), fake, atol=1e-5)
        np.testing.assert_allclose(detector.predict(IMAGES, verbose=0)[:, 0], fake, atol=1e-5)
        return fake

    trained = now()
    assert np.abs(trained - before[0]).max() > 1e-3
    detector.quantize("int8")
    quantized = now()
    assert np.abs(quantized - trained).max() > 1e-6

    autoencoder = kd.ConvAutoencoder((8, 8, 3), (4,))
    latent = autoencoder.encode(IMAGES)
    set_trainable(autoencoder, "lora", rank=2)
    autoencoder.compile(keras.optimizers.SGD(0.5))
    autoencoder.fit(IMAGES, IMAGES, epochs=2, verbose=0)
    expected = keras.ops.convert_to_numpy(autoencoder.encoder(IMAGES))
    np.testing.assert_allclose(autoencoder.encode(IMAGES), expected, atol=1e-5)
    assert np.abs(expected - latent).max() > 1e-4


def test_lora_within_a_detector(tmp_path):
    model = lora_classifier()
    loaded = saved_and_loaded(kd.Detector(model), tmp_path)
    np.testing.assert_allclose(loaded.scores(IMAGES), predict(model)[:, 0], atol=1e-5)


def test_lora_can_be_set_aside_and_taken_up_again(tmp_path):
    model = lora_classifier()
    with_lora = ALL + COUNTS["lora"] - HEAD
    assert set_trainable(model, "all") == with_lora
    assert trained_count(saved_and_loaded(model, tmp_path)) == with_lora
    assert set_trainable(model, "norms") == COUNTS["norms"]
    assert trained_count(saved_and_loaded(model, tmp_path)) == COUNTS["norms"]
    assert set_trainable(model, "lora", rank=2) == COUNTS["lora"]


@pytest.mark.once
def test_kernels_under_a_constraint_get_no_lora():
    encoder = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            kd.layers.ConstrainedConv2D(2, 3),
            keras.layers.Conv2D(2, 3, kernel_constraint="max_norm"),
            keras.layers.Conv2D(2, 1),
        ]
    )
    model = kd.EncoderClassifier(encoder, pooling="avg")
    assert set_trainable(model, "lora", rank=1) == (2 * 2 + 2) + (2 + 2)


@pytest.mark.once
def test_what_cannot_be_leaves_the_model_as_it_was():
    model = kd.EncoderClassifier(
        keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="conv")]),
        pooling="avg",
    )
    set_trainable(model, "none")
    for arguments, message in (
        (("norms",), "`part='norms'` finds no layers of that kind"),
        (("con",), r"`part` must be one of .* got 'con'. Close to it are \['conv'\]"),
        ((2,), "`part` must be a text"),
        (("norms", 4), "`rank` is that of `part='lora'`"),
        (("lora", 0), "`rank` must be"),
    ):
        with pytest.raises(ValueError, match=message):
            set_trainable(model, *arguments)
        assert trained_count(model) == 10
    set_trainable(model, "lora", rank=2)
    with pytest.raises(ValueError, match="`rank` must be 2, that of the LoRA"):
        set_trainable(model, "lora", rank=3)
    with pytest.raises(ValueError, match="`model` must be a built Keras model"):
        set_trainable(keras.Sequential([keras.layers.Dense(2)]), "all")


def test_rates_of_encoder_and_head_survive_saving(tmp_path):
    def rates():
        head, encoder = keras.optimizers.SGD(0.5), keras.optimizers.SGD(0.0)
        choice = keras.optimizers.OptimizerMap(encoder, {".*/head/.*": head})
        return keras.optimizers.MultiOptimizer(choice)

    model = classifier()
    model.compile(rates())
    before = [np.copy(value) for value in model.get_weights()]
    model.fit(IMAGES, LABELS, verbose=0)
    changed = {
        weight.path.split("/")[-2]
        for weight, old, new in zip(model.weights, before, model.get_weights(), strict=True)
        if not np.array_equal(old, new)
    }
    assert changed == {"head"}
    loaded = saved_and_loaded(model, tmp_path)
    for each in (model, loaded):
        each.fit(IMAGES, LABELS, verbose=0, shuffle=False)
    np.testing.assert_allclose(predict(loaded), predict(model), atol=1e-6)
