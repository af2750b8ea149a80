"""Loads every saved model of a folder in a fresh process and writes its outputs.

Usage: python predict_all.py FOLDER OUTPUT.npz
"""

import pathlib
import sys

import keras
import numpy as np

import keras_deepfake  # noqa: F401  (registers the components)

folder = pathlib.Path(sys.argv[1])
outputs = {}
for path in sorted(folder.glob("*.keras")):
    model = keras.saving.load_model(path)
    inputs = np.load(path.with_suffix(".npy"))
    outputs[path.stem] = keras.ops.convert_to_numpy(model(inputs, training=False))
    outputs[f"{path.stem}/trainable"] = np.array(len(model.trainable_weights))
np.savez(sys.argv[2], **outputs)
