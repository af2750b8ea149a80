"""Networks of any names, and of no weights, as encoders."""

import keras
import pytest

import keras_deepfake as kd
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
