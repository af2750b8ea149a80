"""Trials an hour of a search with a frozen encoder, its outputs kept against the naive way.

Both search the same trials on the same noise; the peer is the same hypermodel with
`cache_features=False`, which runs the encoder in every step as plain KerasTuner does. The times
hold everything: building, encoding, training, checkpoints. Defaults are the study's network at
256 px, 10 trials of 5 epochs, some ten minutes on a CPU. The kept features are timed before and
after the naive way, whose time is compared with the mean of the two.
"""

import argparse
import tempfile
import time

import keras
import keras_tuner
import numpy as np

import keras_deepfake as kd


def seconds_a_trial(cache_features, arguments, data, validation, autoencoder):
    hypermodel = kd.hypermodels.HyperEncoderClassifier(
        autoencoder.image_shape,
        autoencoder=autoencoder,
        trainable_encoder=False,
        cache_features=cache_features,
    )
    with tempfile.TemporaryDirectory() as directory:
        tuner = keras_tuner.RandomSearch(
            hypermodel,
            keras_tuner.Objective("val_auc", "max"),
            max_trials=arguments.trials,
            seed=1,
            directory=directory,
        )
        start = time.perf_counter()
        kd.hypermodels.search(
            tuner, *data, validation_data=validation, epochs=arguments.epochs, verbose=0
        )
        return (time.perf_counter() - start) / arguments.trials


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--images", type=int, default=1024, help="half more for validation")
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    shape = (arguments.image_size, arguments.image_size, 3)
    parts = []
    for count in (arguments.images, arguments.images // 2):
        labels = keras.utils.to_categorical(np.arange(count) % 2, 2)
        parts.append((rng.random((count, *shape), "float32"), labels))
    autoencoder = kd.ConvAutoencoder(shape)
    first, naive, second = (
        seconds_a_trial(cache_features, arguments, *parts, autoencoder)
        for cache_features in (True, False, True)
    )
    kept = (first + second) / 2
    print(f"kept features, first and second time: {first:.2f} and {second:.2f} seconds a trial")
    for name, value in (("kept features", kept), ("naive", naive)):
        print(f"{name:15s} {value:8.2f} seconds a trial, {3600 / value:8.0f} trials an hour")
    print(f"ratio           {naive / kept:8.1f}")


if __name__ == "__main__":
    main()
