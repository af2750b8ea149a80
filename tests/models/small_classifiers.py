"""A small classifier, and data for it."""

import keras
import numpy as np

import keras_deepfake as kd


def images(count=8):
    return np.random.default_rng(0).random((count, 8, 8, 3), "float32")


def one_hot(count=8):
    return np.eye(2, dtype="float32")[[0, 1] * (count // 2)]


def classifier(**arguments):
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    return kd.models.EncoderClassifier(encoder, pooling="avg", **arguments)


def compiled(loss="auto", **arguments):
    model = classifier(**arguments)
    model.compile(loss=loss, metrics=[])
    return model
