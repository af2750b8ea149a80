"""Loads every saved model of a folder in a fresh process and writes its outputs.

Of models with frozen layers, whose outputs are the same if their weights are, it writes these.

Usage: python predict_all.py FOLDER OUTPUT.npz
"""

import pathlib
import sys

import keras
import numpy as np

import keras_deepfake  # noqa: F401  (registers the components)


def predict(model, inputs):
    # JAX takes ten times as long for one operation at a time; TensorFlow's compiler reorders sums.
    model.run_eagerly = keras.backend.backend() != "jax"
    return model.predict_on_batch(inputs)


def all_weights(model):
    return np.concatenate([np.zeros(0), *(weights.ravel() for weights in model.get_weights())])


def main(folder, output):
    outputs = {}
    for path in sorted(pathlib.Path(folder).glob("*.keras")):
        model = keras.saving.load_model(path)
        if path.stem.endswith("-frozen"):
            outputs[path.stem] = all_weights(model)
        else:
            outputs[path.stem] = predict(model, np.load(path.with_suffix(".npy")))
        outputs[f"{path.stem}/trainable"] = np.array(len(model.trainable_weights))
    np.savez(output, **outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
