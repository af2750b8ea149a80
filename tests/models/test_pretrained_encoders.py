import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake.models import pretrained_encoder

IMAGES = np.random.default_rng(0).random((2, 40, 40, 3), "float32")

# A network of each way of preprocessing, and of each way of building: plain, residual, dense,
# inverted bottlenecks, with the preprocessing inside.
FAMILIES = {
    "VGG16": "vgg16",
    "ResNet50": "resnet",
    "DenseNet121": "densenet",
    "MobileNetV2": "mobilenet_v2",
    "MobileNetV3Small": "mobilenet_v3",
    "EfficientNetV2B0": "efficientnet_v2",
}


@pytest.mark.parametrize(
    ("name", "module"),
    [
        pytest.param(*family, marks=() if family[0] == "VGG16" else pytest.mark.once)
        for family in FAMILIES.items()
    ],
)
def test_preprocessing_is_that_of_the_network(name, module):
    """The first convolution sees what it sees of images that `preprocess_input` has seen."""
    whole = pretrained_encoder(name, (40, 40, 3), weights=None)
    convolution = next(x for x in whole.layers if isinstance(x, keras.layers.Conv2D))
    encoder = keras.Model(whole.inputs[0], convolution.output)
    expected = keras.Model(whole.get_layer("preprocessing").output, convolution.output)
    preprocess = getattr(keras.applications, module).preprocess_input
    np.testing.assert_allclose(
        encoder.predict(IMAGES, verbose=0),
        expected.predict(preprocess(255.0 * IMAGES), verbose=0),
        rtol=1e-4,
        atol=1e-3,
    )


def test_preprocessing_of_channels_first():
    keras.config.set_image_data_format("channels_first")
    images = IMAGES.transpose(0, 3, 1, 2)
    encoder = pretrained_encoder("VGG16", (3, 40, 40), weights=None, until="block1_conv1")
    layer = next(x for x in encoder.layers if isinstance(x, keras.layers.Rescaling))
    np.testing.assert_allclose(
        keras.Model(encoder.inputs[0], layer.output).predict(images, verbose=0),
        keras.applications.vgg16.preprocess_input(255.0 * images),
        atol=1e-3,
    )


@pytest.mark.once
def test_whole_network_under_a_classifier(tmp_path):
    encoder = pretrained_encoder("MobileNetV3Small", weights=None)
    assert encoder.output_shape == (None, None, None, 576)
    classifier = kd.EncoderClassifier(encoder, pooling="avg")
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras")
    expected = classifier.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(loaded.predict(IMAGES, verbose=0), expected, atol=1e-5)
    assert kd.Detector(classifier).image_size is None


def test_channels_are_reversed_in_a_saved_model(tmp_path):
    encoder = pretrained_encoder("VGG16", weights=None, until="block1_conv1")
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.saving.load_model(tmp_path / "encoder.keras")
    expected = encoder.predict(IMAGES, verbose=0)
    np.testing.assert_array_equal(loaded.predict(IMAGES, verbose=0), expected)


@pytest.mark.once
def test_several_depths_are_pooled_and_concatenated():
    names = ("block1_pool", "block2_pool")
    encoder = pretrained_encoder("VGG16", weights=None, until=names)
    assert encoder.output_shape == (None, 2 * (64 + 128))
    found = encoder.predict(IMAGES, verbose=0)
    start = 0
    for name in names:
        layer = encoder.get_layer(name)
        maps = keras.Model(encoder.inputs[0], layer.output).predict(IMAGES, verbose=0)
        for moment in (maps.mean((1, 2)), maps.std((1, 2))):
            part = found[:, start : start + moment.shape[1]]
            np.testing.assert_allclose(part, moment, rtol=1e-3, atol=1e-4)
            start += moment.shape[1]
    classifier = kd.EncoderClassifier(encoder, pooling=None)
    assert classifier.predict(IMAGES, verbose=0).shape == (2, 2)


@pytest.mark.once
def test_two_of_one_network_have_variables_of_their_own():
    one, two = (
        pretrained_encoder("VGG16", weights=None, until="block1_conv1", image_shape=(32, 32, 3))
        for _ in range(2)
    )
    assert not {v.path for v in one.variables} & {v.path for v in two.variables}


@pytest.mark.once
def test_weights_from_a_file(tmp_path):
    network = keras.applications.MobileNetV3Small(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    file = tmp_path / "mobile.weights.h5"
    network.save_weights(file)
    encoder = pretrained_encoder("MobileNetV3Small", (32, 32, 3), weights=file)
    for one, two in zip(encoder.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.once
def test_weights_that_cannot_be_downloaded(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nothing listens
    with pytest.raises(OSError, match="Give `weights` the path of their file"):
        pretrained_encoder("VGG19", (32, 32, 3))


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "ResNet51"}, "`name` must be one of"),
        ({"name": "vgg16"}, "`name` must be one of"),
        ({"until": "block9"}, "`until` must name layers of 'vgg16'; got 'block9'"),
        ({"until": 3}, "`until` must be the name of a layer"),
        ({"until": ()}, "`until` must be the name of a layer"),
        ({"weights": 5}, "`weights` must be a path"),
        ({"weights": "missing.h5"}, "`weights`='missing.h5': there is no such file"),
        ({"image_shape": (64, 64, 1)}, "the 3 channels of RGB"),
        ({"image_shape": (3, 64, 64)}, "the 3 channels of RGB"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(OSError if "no such file" in message else ValueError, match=message):
        pretrained_encoder(**{"name": "VGG16", "weights": None, **arguments})
