"""Trials an hour of a search with a frozen encoder, its outputs kept against the naive way.

Both search the same trials on the same noise; the peer is the same hypermodel with
`cache_features=False`, which runs the encoder in every step as plain KerasTuner does. The times
hold everything: building, encoding, training, checkpoints. Defaults are the study's network at
256 px, 10 trials of 5 epochs. All naive trials cost alike, so that two of them are enough; that
takes minutes on a CPU.
"""

import argparse
import tempfile
import time

import keras
import keras_tuner
import numpy as np

import keras_deepfake as kd


def seconds(cache_features, trials, arguments, data, validation, autoencoder):
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
            max_trials=trials,
            seed=1,
            directory=directory,
        )
        start = time.perf_counter()
        kd.hypermodels.search(
            tuner, *data, validation_data=validation, epochs=arguments.epochs, verbose=0
        )
        return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--images", type=int, default=1024, help="half more for validation")
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--naive-trials", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    shape = (arguments.image_size, arguments.image_size, 3)
    parts = []
    for count in (arguments.images, arguments.images // 2):
        labels = keras.utils.to_categorical(np.arange(count) % 2, 2)
        parts.append((rng.random((count, *shape), "float32"), labels))
    autoencoder = kd.ConvAutoencoder(shape)
    kept = seconds(True, arguments.trials, arguments, *parts, autoencoder) / arguments.trials
    naive = (
        seconds(False, arguments.naive_trials, arguments, *parts, autoencoder)
        / arguments.naive_trials
    )
    for name, value in (("kept features", kept), ("naive", naive)):
        print(f"{name:15s} {value:8.2f} seconds a trial, {3600 / value:8.0f} trials an hour")
    print(f"ratio           {naive / kept:8.1f}")


if __name__ == "__main__":
    main()
