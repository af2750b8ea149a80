import pytest

import keras_deepfake as kd


@pytest.fixture
def autoencoder():
    return kd.ConvAutoencoder((16, 16, 3), (4, 4))
