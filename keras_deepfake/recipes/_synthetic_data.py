"""Synthetic faces as files, for recipes that are given no data."""

import shutil
from pathlib import Path

import keras

from keras_deepfake._locks import FileLock
from keras_deepfake.datasets import ImageIndex, synthetic_faces

NUM_FACES = 4000


def synthetic_faces_index(parent, side, seed, verbose=0):
    """Draw synthetic faces into a folder, unless it is there already, and index them.

    Args:
        parent: Path of the folder in which to make the folder of the faces.
        side: Side of the images in pixels.
        seed: Integer.
        verbose: 1 for a progress bar, 0 for none.

    Returns:
        An `ImageIndex` of the classes `fake`, whose kinds are the artifacts, and `real`.
    """
    folder = Path(parent) / f"synthetic-faces-{side}px-seed{seed}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not folder.exists():
            _draw(folder, side, seed, verbose)
    return ImageIndex.from_directory(folder)


def _draw(folder, side, seed, verbose):
    if verbose:
        print(f"Drawing {NUM_FACES} synthetic faces into {folder} …")
    faces = synthetic_faces(NUM_FACES, (side, side), seed=seed)
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    progress = keras.utils.Progbar(NUM_FACES, verbose=verbose, unit_name="face")
    for i, (image, artifact) in enumerate(zip(faces.images, faces.artifacts, strict=True)):
        part = unfinished / ("real" if artifact == "none" else f"fake/{artifact}")
        part.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(part / f"{i:05d}.png", image, scale=False)
        progress.add(1)
    unfinished.rename(folder)
