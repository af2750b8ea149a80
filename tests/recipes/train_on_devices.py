"""Trains both stages of a tiny study on one device and on two, and writes what they came to.

On two, the classifier is trained in micro-batches.

Usage: python train_on_devices.py FOLDER, which holds `fake/` and `real/`.
"""

import json
import os
import pathlib
import sys

os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
)

import keras

import keras_deepfake as kd
from keras_deepfake.recipes._devices import Devices, all_devices
from keras_deepfake.recipes._study_stages import (
    make_autoencoder,
    make_classifier,
    train_autoencoder,
    train_classifier,
)

SETTINGS = kd.recipes.StudySettings(
    image_size=8,
    filters=(4,),
    l1=1e-3,
    l2=1e-3,
    epochs_autoencoder=1,
    epochs_classifier=1,
    batch_size_autoencoder=8,
    batch_size_classifier=8,
)


def two_cpu_devices():
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)


def train(devices, index, state):
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.run_functions_eagerly(devices.count == 1)  # which takes less than tracing
    parts = [devices.trim(part) for part in index.split((0.6, 0.2, 0.2), seed=0)]
    with devices.scope():
        autoencoder = make_autoencoder(SETTINGS, 0)
        histories, metrics = train_autoencoder(autoencoder, parts, SETTINGS, 0, state, 0)
        classifier = make_classifier(autoencoder, index.class_names, SETTINGS, 1)
        if devices.count > 1:
            classifier.compile(micro_batch_size=2)
        history, more_metrics = train_classifier(classifier, parts, SETTINGS, 0, state, 0)
    classifier.save(state / "classifier.keras")
    return {
        "count": devices.count,
        "histories": {**histories, "classifier": history},
        "metrics": [metrics, more_metrics],
    }


def main(folder):
    two_cpu_devices()
    folder = pathlib.Path(folder)
    index = kd.datasets.ImageIndex.from_directory(folder)
    results = {
        "one": train(Devices(), index, folder / "one"),
        "two": train(all_devices(), index, folder / "two"),
    }
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1])
