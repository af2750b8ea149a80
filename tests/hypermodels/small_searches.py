"""A small search over classifiers, and the data of its tests."""

import keras
import keras_tuner
import numpy as np

import keras_deepfake as kd
from keras_deepfake.hypermodels import _frozen_features as frozen_features

RANDOM = np.random.default_rng(0)
# Bright and dark, so that no score lies within float noise of another or of a threshold.
IMAGES = (RANDOM.random((16, 16, 16, 3)) * RANDOM.random((16, 1, 1, 1))).astype("float32")
LABELS = keras.utils.to_categorical(RANDOM.integers(0, 2, 16), 2)
VALIDATION = (IMAGES[::-1].copy(), LABELS[::-1].copy())
AUC = keras_tuner.Objective("val_auc", "max")


def hyper(autoencoder, **arguments):
    """A small space whose heads learn."""
    small = {"batch_size": (8, 16), "l1": (0, 1e-4), "l2": 0, "learning_rate": (1e-3, 1e-1)}
    return kd.hypermodels.HyperEncoderClassifier(
        (16, 16, 3), autoencoder=autoencoder, **{**small, **arguments}
    )


def count_encodings(monkeypatch):
    encoded = []
    for name in ("_array_features", "_DatasetFeatures"):
        encode = getattr(frozen_features, name)
        monkeypatch.setattr(
            frozen_features,
            name,
            lambda *args, encode=encode: encoded.append(args) or encode(*args),
        )
    return encoded
