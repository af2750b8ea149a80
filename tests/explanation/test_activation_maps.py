import keras
import numpy as np
import pytest

from keras_deepfake.models import ConvAutoencoder, EncoderClassifier
from keras_deepfake.visualization import grad_cam

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(3, 4, 6, 2)).astype("float32")
CHANNELS = 5


def nested_model(classes=2, data_format="channels_last", activation="softmax"):
    """A 1x1 ReLU convolution in a nested encoder, flattened into a head."""
    shape = (4, 6, 2) if data_format == "channels_last" else (2, 4, 6)
    images = keras.Input(shape)
    convolution = keras.layers.Conv2D(
        CHANNELS, 1, activation="relu", data_format=data_format, name="convolution"
    )
    encoder = keras.Model(images, convolution(images), name="encoder")
    inputs = keras.Input(shape)
    flat = keras.layers.Flatten(data_format=data_format)(encoder(inputs))
    model = keras.Model(inputs, keras.layers.Dense(classes, activation, name="head")(flat))
    rng = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape))
    return model


def expected_maps(model, elementwise, class_index=0):
    """The maps of `nested_model`, worked out with NumPy."""
    kernel, bias, weights, head_bias = model.get_weights()
    activations = np.maximum(IMAGES @ kernel[0, 0] + bias, 0)
    logits = activations.reshape(len(IMAGES), -1) @ weights + head_bias
    others = np.exp(np.delete(logits, class_index, axis=1))
    others /= others.sum(axis=1, keepdims=True)
    # d/da of z_c - log sum exp of the other logits
    gradients = weights[:, class_index] - others @ np.delete(weights, class_index, axis=1).T
    gradients = gradients.reshape(activations.shape)
    if not elementwise:
        gradients = gradients.mean(axis=(1, 2), keepdims=True)
    maps = np.maximum((activations * gradients).sum(axis=-1), 0)
    return maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-9)


@pytest.mark.parametrize("elementwise", [True, False])
@pytest.mark.parametrize(("classes", "class_index"), [(2, 0), (2, 1), (3, 1)])
def test_maps_are_those_of_the_formula(classes, class_index, elementwise):
    model = nested_model(classes)
    maps = grad_cam(model, IMAGES, class_index=class_index, elementwise=elementwise, batch_size=2)
    assert maps.dtype == "float32"
    assert maps.shape == (3, 4, 6)
    np.testing.assert_allclose(maps, expected_maps(model, elementwise, class_index), atol=1e-5)


def test_channels_first():
    model = nested_model(data_format="channels_first")
    last = nested_model()
    last.set_weights(model.get_weights())
    # A flatten head of channels first sees the same order as one of channels last.
    maps = grad_cam(model, np.moveaxis(IMAGES, -1, 1))
    np.testing.assert_allclose(maps, grad_cam(last, IMAGES), atol=1e-5)


def test_gradient_does_not_vanish_when_the_model_is_sure():
    model = nested_model()
    kernel, bias = model.get_layer("head").get_weights()
    model.get_layer("head").set_weights([kernel, np.add(bias, [40.0, 0.0])])
    assert keras.ops.convert_to_numpy(model(IMAGES))[:, 0].min() == 1
    np.testing.assert_allclose(grad_cam(model, IMAGES), expected_maps(model, True), atol=1e-5)


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
    np.testing.assert_allclose(grad_cam(model, images, layer="inner"), expected, atol=1e-5)


def classifier(dtype=None, **kwargs):
    autoencoder = ConvAutoencoder((16, 16, 3), filters=(4, 3), dtype=dtype)
    return EncoderClassifier.from_autoencoder(autoencoder, **kwargs)


FACES = RNG.uniform(size=(2, 16, 16, 3)).astype("float32")


@pytest.mark.parametrize("pooling", ["flatten", "avg", "gem"])
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
    assert "call" not in vars(last)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
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
    np.testing.assert_array_equal(grad_cam(model, IMAGES), 0)
    assert grad_cam(model, IMAGES, class_index=1).max() == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"images": IMAGES * 255}, r"must lie in \[0, 1\]"),
        ({"layer": "absent"}, r"got 'absent'. The model has \['convolution'\]"),
        ({"layer": "head"}, "with a 4-D output"),
        ({"layer": keras.layers.Conv2D(1, 1)}, "is not used by the model"),
        ({"class_index": 2}, "one of the model's 2 columns"),
        ({"model": nested_model(activation=None)}, "must return probabilities"),
        ({"model": nested_model(1, activation="sigmoid")}, "two or more classes"),
    ],
)
def test_errors(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        grad_cam(**{"model": nested_model(), "images": IMAGES, **arguments})


def test_layer_object_without_a_feature_map_and_a_failing_model_are_put_back():
    model = nested_model()
    head = model.get_layer("head")
    with pytest.raises(ValueError, match="must be called once and return one 4-D"):
        grad_cam(model, IMAGES, layer=head)
    assert "call" not in vars(head)
