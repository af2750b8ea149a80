import keras
import numpy as np
import pytest

import keras_deepfake as kd


def make_network():
    images = keras.Input((16, 16, 3), name="images")
    x = keras.layers.Conv2D(6, 4, strides=4, name="patches")(images)
    tokens = keras.layers.Reshape((16, 6), name="tokens")(x)
    tokens = keras.layers.ZeroPadding1D((1, 0), name="with_class_token")(tokens)
    tokens = keras.layers.Dense(6, name="block_1")(tokens)
    tokens = keras.layers.Dense(5, name="block_2")(tokens)
    vector = keras.layers.GlobalAveragePooling1D(name="vector")(tokens)
    return keras.Model(images, keras.layers.Dense(2, name="top")(vector), name="network")


IMAGES = np.random.default_rng(0).random((3, 16, 16, 3), "float32")


def outputs_at(network, name, images=IMAGES):
    return keras.Model(network.inputs[0], network.get_layer(name).output).predict(images, verbose=0)


def test_one_layer_is_given_as_it_is():
    network = make_network()
    encoder = kd.models.feature_extractor(network, "block_1")
    np.testing.assert_array_equal(
        encoder.predict(IMAGES, verbose=0), outputs_at(network, "block_1")
    )
    assert encoder.name == "network"
    assert kd.models.feature_extractor(network).output_shape == (None, 2)


def test_statistics_of_several_depths_are_concatenated(tmp_path):
    network = make_network()
    encoder = kd.models.feature_extractor(
        network, ["patches", "block_1", "block_2", "vector"], name="depths"
    )
    expected = []
    maps = outputs_at(network, "patches")
    expected += [maps.mean(axis=(1, 2)), maps.std(axis=(1, 2))]
    for name in ("block_1", "block_2"):
        tokens = outputs_at(network, name)
        expected += [tokens[:, 0], tokens[:, 1:].mean(axis=1), tokens[:, 1:].std(axis=1)]
    expected.append(outputs_at(network, "vector"))
    features = encoder.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(features, np.concatenate(expected, axis=1), atol=1e-5)
    encoder.save(tmp_path / "encoder.keras")
    reloaded = keras.saving.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(reloaded.predict(IMAGES, verbose=0), features)


@pytest.mark.once
def test_layers_of_the_network_may_have_any_names():
    images = keras.Input((16, 16, 3), name="images")
    x = keras.layers.Conv2D(2, 3, name="features")(images)
    x = keras.layers.Conv2D(3, 3, name="features_moments")(x)
    network = keras.Model(images, keras.layers.Conv2D(4, 3, name="features_")(x))
    names = [layer.name for layer in network.layers[1:]]
    encoder = kd.models.feature_extractor(network, names)
    expected = []
    for name in names:
        maps = outputs_at(network, name)
        expected += [maps.mean(axis=(1, 2)), maps.std(axis=(1, 2))]
    features = encoder.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(features, np.concatenate(expected, axis=1), atol=1e-5)
    # One that comes out of a file has the names that Keras gives next, too.
    names.append(encoder.layers[-1].name)
    kd.models.feature_extractor(keras.models.clone_model(encoder), names)


@pytest.mark.parametrize(
    ("count", "patches"),
    # Of 4 x 4 patches with nothing, a class token, another beside it, four registers; and of
    # images that are not square.
    [(16, 16), (17, 16), (18, 16), (21, 16), (12, 12), (24, 24), (None, None)],
)
def test_which_tokens_are_those_of_patches(count, patches):
    tokens = keras.Input((count, 6), name="tokens")
    network = keras.Model(tokens, keras.layers.Dense(5, name="more")(tokens))
    encoder = kd.models.feature_extractor(network, ("tokens", "more"))
    values = np.random.default_rng(0).random((2, count or 17, 6), "float32")
    pooled = values[:, len(values[0]) - (patches or 17) :]
    expected = [pooled.mean(axis=1), pooled.std(axis=1)]
    if patches != count:
        expected.insert(0, values[:, 0])
    expected = np.concatenate(expected, axis=1)
    features = encoder.predict(values, verbose=0)
    assert features.shape[1] == expected.shape[1] * (6 + 5) // 6
    np.testing.assert_allclose(features[:, : expected.shape[1]], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("sides", "others", "resized"),
    # 7 x 5 patches and a class token are 36 tokens; with four registers 40. 16 x 16 pixels, to
    # which a network may resize, have 4 x 4 patches.
    [((28, 20), 0, None), ((28, 20), 1, None), ((20, 28), 5, None), ((28, 20), 1, (16, 16))],
)
def test_patches_of_images_that_are_not_square(sides, others, resized):
    images = keras.Input((*sides, 3))
    x = keras.layers.Resizing(*resized)(images) if resized else images
    x = keras.layers.Conv2D(6, 4, 4)(x)
    x = keras.layers.Reshape((x.shape[1] * x.shape[2], 6))(x)
    tokens = keras.layers.ZeroPadding1D((others, 0), name="tokens")(x)
    network = keras.Model(images, keras.layers.Dense(5, name="more")(tokens))
    encoder = kd.models.feature_extractor(network, ("tokens", "more"))
    assert encoder.output_shape[-1] == (6 + 5) * (3 if others else 2)
    values = np.random.default_rng(0).random((2, *sides, 3), "float32")
    patches = outputs_at(network, "tokens", values)[:, others:]
    features = encoder.predict(values, verbose=0)[:, 6 if others else 0 :][:, :6]
    np.testing.assert_allclose(features, patches.mean(axis=1), atol=1e-5)


@pytest.mark.parametrize(
    ("until", "message"),
    [
        ("block_3", r"got 'block_3'. Close to it are \['block_2', 'block_1'"),
        (["block_1", 3], "got 3"),
        ([], "`until` must be the name of a layer, or several"),
        (3, "`until` must be the name of a layer, or several"),
    ],
)
def test_layers_that_are_not_there_raise(until, message):
    with pytest.raises(ValueError, match=message):
        kd.models.feature_extractor(make_network(), until)


def test_only_graphs_of_one_input_are_cut():
    inputs = [keras.Input((4,)), keras.Input((4,))]
    two = keras.Model(inputs, keras.layers.Add()(inputs))
    for network in ("network.keras", two, keras.Sequential([keras.layers.Dense(2)])):
        with pytest.raises(ValueError, match="`network` must be a Keras model"):
            kd.models.feature_extractor(network)
