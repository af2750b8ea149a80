"""Networks as encoders: where they are cut, what they see, and how they are given."""

import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake.recipes import detector_training
from keras_deepfake.recipes._network_encoders import cut_points, encoder_model, read_encoder
from tests.recipes.small_networks import make_network


@pytest.mark.parametrize("side", [None, 12])
@pytest.mark.parametrize("name", ["images", "features", "pooling", "dropout", "head"])
def test_an_encoder_may_be_called_like_what_is_put_around_it(name, side):
    layers = [keras.layers.Conv2D(2, 3, name=layer) for layer in ("features", "features_")]
    network = keras.Sequential([keras.Input((side, side, 3)), *layers], name=name)
    encoder = read_encoder(network)
    model, widths = encoder_model(encoder, crops_per_side=2)
    assert sum(widths) == model.output_shape[-1] == 8
    kd.models.EncoderClassifier(model, pooling=None)


def test_an_encoder_may_have_no_weights():
    scaling = keras.layers.Rescaling(2.0, name="scaled")
    network = keras.Sequential([keras.Input((None, None, 3)), scaling])
    assert read_encoder(network).depths == ("scaled",)


def test_images_that_are_too_small_are_told_before_anything_is_encoded(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    for name in ("fake", "real"):
        (tmp_path / name).mkdir()
        for number in range(20):
            side = 9 if (name, number) == ("real", 7) else 16
            image = random.integers(0, 256, (side, side + 4, 3))
            keras.utils.save_img(tmp_path / name / f"{number}.png", image, scale=False)
    index = kd.datasets.ImageIndex.from_directory(tmp_path)
    monkeypatch.setattr(detector_training, "encode_views", None)
    with pytest.raises(ValueError, match=r"real.7\.png' cannot be encoded: \(9, 13, 3\) is too"):
        kd.recipes.train_detector(index, output=tmp_path / "run", verbose=0)
    assert not (tmp_path / "run.unfinished").exists()


class TestDepths:
    def test_networks_are_cut_where_all_goes_through(self):
        assert cut_points(make_network()) == ("stem", "block_0", "block_1", "block_2", "block_3")
        assert read_encoder(make_network()).depths == cut_points(make_network())

    def test_at_most_twelve(self):
        images = keras.Input((8, 8, 3))
        x = images
        for i in range(40):
            x = keras.layers.Conv2D(2, 1, name=f"conv_{i}")(x)
        names = cut_points(keras.Model(images, x))
        assert len(names) == 12
        assert names[-1] == "conv_39"

    def test_statistics_of_windows_are_averaged(self):
        encoder = read_encoder(make_network())._replace(depths=("stem", "block_3"))
        model, widths = encoder_model(encoder, crops_per_side=2)
        assert widths == [8, 8]
        images = np.random.default_rng(0).random((2, 30, 40, 3), "float32")
        one = kd.models.feature_extractor(encoder.network, ["stem", "block_3"])
        windows = [images[:, y : y + 24, x : x + 24] for y in (0, 6) for x in (0, 16)]
        expected = np.mean([one.predict(window, verbose=0) for window in windows], axis=0)
        np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-5)

    def test_a_network_within_a_network_is_cut_too(self):
        network = make_network()
        images = keras.Input((24, 24, 3))
        scaled = keras.layers.Rescaling(2.0, -1.0, name="scaled")(images)
        whole = keras.Model(images, network(scaled), name="whole")
        sequence = keras.Sequential(
            [keras.Input((24, 24, 3)), keras.layers.Rescaling(2.0, -1.0, name="scaled"), network]
        )
        pixels = np.random.default_rng(0).random((2, 24, 24, 3), "float32")
        for outer in (whole, sequence, keras.Sequential([keras.Input((24, 24, 3)), whole])):
            encoder = read_encoder(outer)
            assert encoder.depths == cut_points(network)
            np.testing.assert_array_equal(
                encoder.network.predict(pixels, verbose=0), outer.predict(pixels, verbose=0)
            )

    def test_colour_comes_last_whatever_the_network_takes(self):
        images = keras.Input((3, 8, 10))
        x = keras.layers.Permute((2, 3, 1))(images)
        x = keras.layers.Conv2D(4, 3, data_format="channels_last", name="conv")(x)
        model, widths = encoder_model(read_encoder(keras.Model(images, x, name="first")))
        assert model.input_shape == (None, None, None, 3)
        assert widths == [8]
        pixels = np.random.default_rng(0).random((2, 8, 10, 3), "float32")
        maps = keras.Model(images, x).predict(np.moveaxis(pixels, -1, 1), verbose=0)
        expected = np.concatenate([maps.mean(axis=(1, 2)), maps.std(axis=(1, 2))], axis=1)
        np.testing.assert_allclose(model.predict(pixels, verbose=0), expected, atol=1e-5)


class TestEncoders:
    def test_a_network_is_known_again_and_no_other_is_taken_for_it(self):
        def make(divisor=1.0, pooling=keras.layers.GlobalAveragePooling2D, filters=4):
            keras.utils.set_random_seed(0)
            layers = [
                keras.layers.Rescaling(1 / divisor),
                keras.layers.Conv2D(filters, 3),
                pooling(),
            ]
            return read_encoder(keras.Sequential([keras.Input((8, 8, 3)), *layers])).digest()

        assert make() == make()
        others = (make(2.0), make(pooling=keras.layers.Flatten), make(filters=5))
        assert len({make(), *others}) == 4

    def test_layers_behind_a_path_are_fixed(self, tmp_path):
        make_network().save(tmp_path / "network.keras")
        encoder = read_encoder(f"{tmp_path / 'network.keras'}:block_1,block_3")
        assert (encoder.depths, encoder.is_fixed) == (("block_1", "block_3"), True)
        assert not read_encoder(tmp_path / "network.keras").is_fixed
        with pytest.raises(
            ValueError,
            match=r"`encoder` must name layers .* got 'block_9'\. Close to it are \['block_\d",
        ):
            read_encoder(f"{tmp_path / 'network.keras'}:block_9")

    def test_a_vector_is_taken_as_it_is(self):
        network = kd.models.feature_extractor(make_network(), ["block_0", "block_1"])
        encoder = read_encoder(network)
        assert encoder.is_fixed
        assert encoder_model(encoder)[1] == [16]

    def test_digest_follows_weights_and_depths(self):
        encoder = read_encoder(make_network())
        assert encoder.digest() == read_encoder(make_network()).digest()
        assert encoder.digest() != read_encoder(make_network(seed=1)).digest()
        assert encoder.digest() != encoder._replace(depths=("stem",)).digest()
