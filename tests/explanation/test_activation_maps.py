from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from keras_deepfake.explanation import grad_cam
from keras_deepfake.layers import NativeCrop
from keras_deepfake.models import ConvAutoencoder, Detector, EncoderClassifier

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(3, 4, 6, 3)).astype("float32")
CHANNELS = 5
FAKE_FIRST = ("fake", "real")


def nested_model(columns=2, data_format="channels_last", activation="softmax", seed=1):
    """A 1x1 ReLU convolution in a nested encoder, flattened into a head."""
    shape = (4, 6, 3) if data_format == "channels_last" else (3, 4, 6)
    images = keras.Input(shape)
    convolution = keras.layers.Conv2D(
        CHANNELS, 1, activation="relu", data_format=data_format, name=f"convolution_{seed}"
    )
    encoder = keras.Model(images, convolution(images), name="encoder")
    inputs = keras.Input(shape)
    flat = keras.layers.Flatten(data_format=data_format)(encoder(inputs))
    model = keras.Model(
        inputs, keras.layers.Dense(columns, activation, name="head")(flat), name=f"model_{seed}"
    )
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape))
    return model


def expected_maps(model, elementwise=True, class_index=0):
    """The maps of `nested_model`, worked out with NumPy."""
    kernel, bias, weights, _ = model.get_weights()
    activations = np.maximum(IMAGES @ kernel[0, 0] + bias, 0)
    # d/da of the logit of the class less that of the other; one column is that of class 1.
    logit = weights[:, 1] - weights[:, 0] if weights.shape[1] == 2 else weights[:, 0]
    gradients = (logit if class_index else -logit).reshape(activations.shape[1:])
    if not elementwise:
        gradients = gradients.mean(axis=(0, 1), keepdims=True)
    maps = np.maximum((activations * gradients).sum(axis=-1), 0)
    return maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-9)


@pytest.mark.parametrize("elementwise", [True, False])
@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize(
    "class_names", [pytest.param(("fake", "real"), marks=pytest.mark.once), ("REAL", "FAKE")]
)
def test_maps_are_those_of_the_formula(class_names, columns, elementwise):
    model = nested_model(columns, activation="sigmoid" if columns == 1 else "softmax")
    arguments = {"elementwise": elementwise, "batch_size": 2, "class_names": class_names}
    maps = grad_cam(model, IMAGES, **arguments)
    assert maps.dtype == "float32"
    assert maps.shape == (3, 4, 6)
    fake = [name.lower() for name in class_names].index("fake")
    np.testing.assert_allclose(maps, expected_maps(model, elementwise, fake), atol=1e-5)
    maps = grad_cam(model, IMAGES, class_name=class_names[1 - fake], **arguments)
    np.testing.assert_allclose(maps, expected_maps(model, elementwise, 1 - fake), atol=1e-5)


def test_class_that_is_told_to_be_fake():
    model = nested_model()
    maps = grad_cam(model, IMAGES, class_names=("a", "b"), fake_class="b")
    np.testing.assert_allclose(maps, expected_maps(model, class_index=1), atol=1e-5)


def test_member_with_the_largest_weight_is_explained():
    members = [nested_model(seed=seed) for seed in (1, 2)]
    detector = Detector(members, FAKE_FIRST, weights=(0.3, 0.7))
    np.testing.assert_allclose(grad_cam(detector, IMAGES), expected_maps(members[1]), atol=1e-5)
    maps = grad_cam(detector, IMAGES, layer="convolution_1")
    np.testing.assert_allclose(maps, expected_maps(members[0]), atol=1e-5)
    # A name that several members have is a layer of the same member.
    twins = [nested_model(seed=seed) for seed in (1, 1)]
    twins[0].set_weights(members[0].get_weights())
    twins[1].set_weights([-weights for weights in members[0].get_weights()])
    detector = Detector(twins, FAKE_FIRST, weights=(0.7, 0.3))
    for layer in (None, "convolution_1"):
        maps = grad_cam(detector, IMAGES, layer=layer)
        np.testing.assert_allclose(maps, expected_maps(twins[0]), atol=1e-5)
    # What speaks against fake in a member of negative weight speaks for it in the detector.
    detector = Detector(members, FAKE_FIRST, weights=(0.3, -0.7))
    maps = grad_cam(detector, IMAGES, layer=detector.members[1].get_layer("encoder").layers[-1])
    np.testing.assert_allclose(maps, expected_maps(members[1], class_index=1), atol=1e-5)


def test_channels_first():
    model = nested_model(data_format="channels_first")
    last = nested_model()
    last.set_weights(model.get_weights())
    # A flatten head of channels first sees the same order as one of channels last.
    maps = grad_cam(model, np.moveaxis(IMAGES, -1, 1), class_names=FAKE_FIRST)
    np.testing.assert_allclose(maps, expected_maps(last), atol=1e-5)


def test_gradient_does_not_vanish_when_the_model_is_sure():
    model = nested_model()
    kernel, bias = model.get_layer("head").get_weights()
    model.get_layer("head").set_weights([kernel, np.add(bias, [40.0, 0.0])])
    assert keras.ops.convert_to_numpy(model(IMAGES))[:, 0].min() == 1
    maps = grad_cam(model, IMAGES, class_names=FAKE_FIRST)
    np.testing.assert_allclose(maps, expected_maps(model), atol=1e-5)


def test_branch_past_the_layer_and_images_of_uint8():
    inputs = keras.Input((4, 4, 1))
    inner = keras.layers.Conv2D(1, 1, use_bias=False, name="inner")(inputs)
    joined = keras.layers.Concatenate()([inner, inputs])
    model = keras.Model(inputs, keras.layers.Dense(2, "softmax")(keras.layers.Flatten()(joined)))
    convolution, head = model.get_layer("inner"), model.layers[-1]
    convolution.set_weights([np.ones((1, 1, 1, 1))])
    weights = RNG.normal(size=(32, 2))
    head.set_weights([weights, np.zeros(2)])
    images = RNG.integers(0, 256, (2, 4, 4, 1), "uint8")
    difference = (weights[:, 0] - weights[:, 1]).reshape(4, 4, 2)[..., 0]
    expected = np.maximum(images[..., 0] * difference, 0)
    expected = expected / expected.max(axis=(1, 2), keepdims=True)
    maps = grad_cam(model, images, layer="inner", class_names=FAKE_FIRST)
    np.testing.assert_allclose(maps, expected, atol=1e-5)


def classifier(dtype=None, **kwargs):
    autoencoder = ConvAutoencoder((16, 16, 3), filters=(4, 3), dtype=dtype)
    return EncoderClassifier.from_autoencoder(autoencoder, **kwargs)


FACES = RNG.uniform(size=(2, 16, 16, 3)).astype("float32")


@pytest.mark.parametrize("pooling", ["flatten", pytest.param("avg", marks=pytest.mark.once), "gem"])
def test_any_layer_of_our_classifier(pooling):
    model = classifier(pooling=pooling)
    before = keras.ops.convert_to_numpy(model(FACES))
    first, last = (model.encoder.get_layer(f"encoder_block_{i}") for i in (0, 1))
    inside = [layer for layer in first._flatten_layers() if isinstance(layer, keras.layers.Conv2D)]
    maps = [grad_cam(model, FACES, layer) for layer in (None, last, last.name, first, inside[0])]
    assert all(x.shape == (2, 16, 16) and x.min() >= 0 and x.max() <= 1 for x in maps)
    np.testing.assert_array_equal(maps[0], maps[1])
    np.testing.assert_array_equal(maps[0], maps[2])
    assert not np.allclose(maps[0], maps[3])
    # The model is as it was.
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(FACES)), before)


@pytest.mark.parametrize(
    "dtype", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.once)]
)
def test_reduced_precision(dtype):
    reduced = classifier(dtype)
    maps = grad_cam(reduced, FACES)
    full = classifier()
    full.set_weights(reduced.get_weights())
    assert maps.dtype == "float32"
    np.testing.assert_allclose(maps, grad_cam(full, FACES), atol=0.1)


def test_nothing_in_favour_gives_zeros():
    model = nested_model()
    kernel, _ = model.get_layer("head").get_weights()
    model.get_layer("head").set_weights([np.abs(kernel) * [-1, 1], np.zeros(2)])
    np.testing.assert_array_equal(grad_cam(model, IMAGES, class_names=FAKE_FIRST), 0)
    assert grad_cam(model, IMAGES, class_name="real", class_names=FAKE_FIRST).max() == 1


class Interruption(keras.layers.Layer):
    """Runs what another thread might run while the layer is called."""

    action = None

    def call(self, x):
        action, Interruption.action = Interruption.action, None
        if action is not None:
            action()
            Interruption.action = action
        return x

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


def test_model_predicts_rightly_meanwhile():
    inputs = keras.Input((4, 6, 3))
    x = keras.layers.Conv2D(3, 1, name="before")(inputs)
    x = keras.layers.Conv2D(3, 1, name="explained")(Interruption()(x))
    outputs = keras.layers.Dense(2, "softmax")(keras.layers.Flatten()(Interruption()(x)))
    model = keras.Model(inputs, outputs)
    expected = keras.ops.convert_to_numpy(model(IMAGES))
    maps = grad_cam(model, IMAGES, "explained", class_names=FAKE_FIRST)
    seen = []

    def predict():
        seen.append(model.predict_on_batch(IMAGES))

    Interruption.action = predict
    try:
        interrupted = grad_cam(model, IMAGES, "explained", class_names=FAKE_FIRST)
    finally:
        Interruption.action = None
    assert len(seen) > 2
    np.testing.assert_allclose(seen, np.stack([expected] * len(seen)), atol=1e-6)
    np.testing.assert_array_equal(interrupted, maps)


def test_threads_share_a_model():
    model = nested_model()
    names = [("fake", "real"), ("real", "fake")] * 4
    with ThreadPoolExecutor(4) as pool:
        maps = list(pool.map(lambda names: grad_cam(model, IMAGES, class_names=names), names))
    for found, class_names in zip(maps, names, strict=True):
        expected = expected_maps(model, class_index=class_names.index("fake"))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def tokens_model():
    inputs = keras.Input((4, 6, 3))
    tokens = keras.layers.Dense(3)(keras.layers.Reshape((24, 3))(inputs))
    pooled = keras.layers.GlobalAveragePooling1D()(tokens)
    return keras.Model(inputs, keras.layers.Dense(2, "softmax")(pooled), name="tokens")


def twice():
    """A model that calls one layer twice."""
    inputs = keras.Input((4, 6, 3))
    layer = keras.layers.Conv2D(3, 1, name="convolution_1")
    flat = keras.layers.Flatten()(layer(layer(inputs)))
    return keras.Model(inputs, keras.layers.Dense(2, "softmax")(flat))


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"images": IMAGES * 255}, r"pixel values in \[0, 1\]"),
        ({"images": IMAGES * np.nan}, r"`images\[0\]` must hold finite"),
        ({"images": IMAGES[:0]}, "`images` must be an array of one or more images"),
        ({"images": IMAGES[0]}, r"got shape \(4, 6, 3\)"),
        ({"images": IMAGES[:, :3]}, r"takes, \(None, 4, 6, 3\); got \(3, 3, 6, 3\)"),
        ({"images": "faces"}, "`images` must be an array"),
        ({"layer": "absent"}, r"got 'absent'. The model has \['convolution_1'\]"),
        ({"layer": "head"}, "with a 4-D output"),
        ({"layer": ["convolution_1"]}, "with a 4-D output"),
        ({"layer": keras.layers.Conv2D(1, 1)}, "is not used by the model"),
        ({"model": tokens_model()}, "`model` has no layer with a feature map"),
        ({"model": twice()}, "was called 2 times"),
        ({"class_name": "swap"}, r"`class_name` must be one of 'fake', 'real'; got 'swap'"),
        ({"class_names": None}, "`class_names` in the order"),
        ({"class_names": ("a", "b")}, "`fake_class="),
        ({"elementwise": 1}, "`elementwise` must be True or False; got 1"),
        ({"batch_size": 0}, "`batch_size` must be an integer from 1"),
        ({"model": nested_model(activation=None)}, "must give probabilities"),
        ({"model": nested_model(3)}, "two columns of probabilities, or one"),
        ({"model": "detector.keras"}, "must each be a Keras model"),
    ],
)
def test_errors(arguments, reason):
    valid = {"model": nested_model(), "images": IMAGES, "class_names": FAKE_FIRST}
    with pytest.raises(ValueError, match=reason):
        grad_cam(**{**valid, **arguments})


@pytest.mark.once
def test_layer_without_a_feature_map():
    model = nested_model()
    with pytest.raises(ValueError, match="must be called once, or once for each"):
        grad_cam(model, IMAGES, layer=model.get_layer("head"), class_names=FAKE_FIRST)


def test_layer_of_a_model_that_shares_its_input():
    inputs = keras.Input((4, 6, 3))
    layer = keras.layers.Conv2D(CHANNELS, 1, activation="relu")
    encoder = keras.Model(inputs, layer(inputs))
    flat = keras.layers.Flatten()(encoder(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, "softmax")(flat))
    maps = grad_cam(model, IMAGES, layer, class_names=FAKE_FIRST)
    np.testing.assert_allclose(maps, expected_maps(model), atol=1e-5)


def test_weights_that_are_not_finite():
    model = nested_model()
    model.set_weights([weights * np.nan for weights in model.get_weights()])
    with pytest.raises(ValueError, match="not finite"):
        grad_cam(model, IMAGES, class_names=FAKE_FIRST)


@pytest.mark.parametrize("places", [((0.5, 0.5),), ((0, 0), (0, 1), (1, 0), (1, 1))])
def test_windows_have_their_maps_in_their_places(places):
    """A network of 4 x 6 pixels that is shown windows of larger images."""
    network = nested_model(seed=3)
    images = keras.Input((None, None, 3))
    windows = [
        NativeCrop((4, 6), place, "channels_last", name=f"window_{number}")(images)
        for number, place in enumerate(places)
    ]
    outputs = [network(window) for window in windows]
    model = keras.Model(images, keras.layers.Average()(outputs) if len(places) > 1 else outputs[0])
    pixels = RNG.uniform(size=(2, 7, 9, 3)).astype("float32")
    maps = grad_cam(model, pixels, class_names=FAKE_FIRST)
    alone = grad_cam(network, pixels[:, 3:7, 3:9], class_names=FAKE_FIRST)
    if len(places) == 1:
        expected = np.zeros((2, 7, 9))
        expected[:, 1:5, 1:7] = grad_cam(network, pixels[:, 1:5, 1:7], class_names=FAKE_FIRST)
        np.testing.assert_allclose(maps, expected, atol=1e-5)
        return
    # Where no other window is, the last one's map but for its scale.
    corner, own = maps[:, 4:, 6:], alone[:, 1:, 3:]
    for found, map_alone in zip(corner, own, strict=True):
        scale = (found * map_alone).sum() / (map_alone**2).sum()
        np.testing.assert_allclose(found, scale * map_alone, atol=1e-5)
        assert scale > 0.01
