"""Networks of any names, and of no weights, as encoders."""

import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake.recipes import detector_training
from keras_deepfake.recipes._network_encoders import encoder_model, read_encoder


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
