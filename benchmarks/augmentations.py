"""Time of each augmentation layer, as a share of a training step on the same batch.

Prints, for 32 images of a training batch, the layer's median time in a `tf.data` pipeline divided
by that of a training step of Keras's MobileNetV2, measured in turns in one run. Below 1 the layer
keeps up with training even without a core of its own.
"""

import argparse

import keras
import numpy as np
import tensorflow as tf
from measuring import seconds_in_turns

import keras_deepfake as kd


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128, help="image side in pixels")
    parser.add_argument("--rounds", type=int, default=10, help="measurements of each")
    arguments = parser.parse_args()

    shape = (arguments.size, arguments.size, 3)
    images = np.random.default_rng(0).random((32, *shape), "float32")
    labels = keras.utils.to_categorical(np.arange(32) % 2, 2)
    model = keras.applications.MobileNetV2(shape, weights=None, classes=2)
    model.compile("adam", "categorical_crossentropy")

    layers = {
        "RandomJPEGCompression": (kd.layers.RandomJPEGCompression(seed=0), images),
        "RandomDegradation": (kd.layers.RandomDegradation(seed=0), images),
        "SelfBlendedImages": (kd.layers.SelfBlendedImages(seed=0), images[:16]),
        "SelfBlendedImages, degraded": (
            kd.layers.SelfBlendedImages(kd.layers.RandomDegradation(seed=0), seed=0),
            images[:16],
        ),
        "keras RandomElasticTransform": (
            keras.layers.RandomElasticTransform(value_range=(0, 1), seed=0),
            images,
        ),
    }
    # Otherwise tf.data would make the next batches while another is timed.
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False
    batches = {
        name: iter(tf.data.Dataset.from_tensors(inputs).repeat().map(layer).with_options(options))
        for name, (layer, inputs) in layers.items()
    }
    steps = {
        "MobileNetV2 training step": lambda: model.train_on_batch(images, labels),
        **{name: lambda batch=batch: next(batch) for name, batch in batches.items()},
    }
    medians = seconds_in_turns(steps, arguments.rounds)
    step = medians.pop("MobileNetV2 training step")
    print(
        f"| augmentation of 32 images, {arguments.size} px, {keras.backend.backend()} "
        "| layer | training step of MobileNetV2 | ratio |\n|---|---|---|---|"
    )
    for name, median in medians.items():
        print(f"| {name} | {median:.3f} s | {step:.3f} s | {median / step:.3f} |")


if __name__ == "__main__":
    main()
