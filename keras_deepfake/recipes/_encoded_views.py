"""Vectors of training images and of what was made of them, kept in files as they are computed."""

import json
from typing import NamedTuple

import keras
import numpy as np

from keras_deepfake._files import atomic_write
from keras_deepfake._pixels import to_numpy
from keras_deepfake.layers import RandomDegradation, SelfBlendedImages
from keras_deepfake.models.image_batches import image_batches
from keras_deepfake.models.prediction import predict_batch

# Images between two notes of how far the work is.
BLOCK = 32


class View(NamedTuple):
    """Something that is made of some of the images.

    Attributes:
        name: `"clean"`, `"degraded"` or `"blended"`.
        positions: Integer array, which images of the index.
    """

    name: str
    positions: np.ndarray

    @property
    def num_rows(self):
        """How many vectors it gives; a blended image comes beside its original."""
        return len(self.positions) * (2 if self.name == "blended" else 1)

    def apply(self, images, seed):
        """The images, and which of them were made fake here (`None`: what they were)."""
        if self.name == "clean":
            return images, None
        layout = {"seed": seed, "data_format": "channels_last"}
        if self.name == "degraded":
            degrade = RandomDegradation(blur=(0, 1), resize=(0.4, 1), jpeg=(40, 95), **layout)
            return to_numpy(degrade(images, training=True), "images"), None
        degrade = RandomDegradation(blur=(0, 1), resize=(0.6, 1), jpeg=(50, 100), **layout)
        images, labels = SelfBlendedImages(degrade, **layout)(images, training=True)
        return to_numpy(images, "images"), to_numpy(labels, "labels")[:, 0] == 1


def make_views(is_fake, fakes, copies):
    """The views that a detector is trained on, by the arguments of `train_detector`."""
    everything, reals = np.arange(len(is_fake)), np.flatnonzero(~is_fake)
    views = []
    if fakes != "blended":
        views += [View("clean", everything), *[View("degraded", everything)] * copies]
    if fakes != "given":
        views += [View("blended", reals)] * max(1, copies)
    return views


class EncodedViews(NamedTuple):
    """Vectors with what they are of.

    Attributes:
        features: Float32 array `(rows, features)`.
        is_fake: Boolean array `(rows,)`.
        positions: Integer array `(rows,)`, of the image in the index.
        is_blended: Boolean array `(rows,)`, whether the row is of the view `"blended"`.
    """

    features: np.ndarray
    is_fake: np.ndarray
    positions: np.ndarray
    is_blended: np.ndarray


def encode_views(encoder, index, is_fake, views, folder, seed, verbose):
    """Encode the views of images, going on where an earlier call was cut off.

    Every block of images draws its random numbers from a seed of its own, so that the vectors do
    not depend on where a call was cut off.

    Args:
        encoder: Keras model from images of any size to a vector.
        index: `ImageIndex`.
        is_fake: Boolean array, of each image of the index.
        views: List of `View`.
        folder: Path of a folder for the files.
        seed: Integer.
        verbose: 0 for silence, otherwise a progress bar.

    Returns:
        `EncodedViews`, whose features are a file mapped into memory.
    """
    folder.mkdir(exist_ok=True)
    count = sum(view.num_rows for view in views)
    is_blended = np.repeat([v.name == "blended" for v in views], [v.num_rows for v in views])
    arrays = _open(folder, count, encoder.output_shape[-1])
    progress_file = folder / "progress.json"
    done = json.loads(progress_file.read_text())["rows"] if progress_file.exists() else 0
    bar = keras.utils.Progbar(count, unit_name="image", verbose=1) if verbose else None
    row = 0
    for number, view in enumerate(views):
        for start in range(0, len(view.positions), BLOCK):
            positions = view.positions[start : start + BLOCK]
            size = len(positions) * view.num_rows // len(view.positions)
            if row + size > done:
                block = EncodedViews(*(array[row : row + size] for array in (*arrays, is_blended)))
                _encode_block(
                    encoder, index, is_fake, view, positions, block, (seed, number, start)
                )
                for array in arrays:
                    array.flush()
                with atomic_write(progress_file) as file:
                    json.dump({"rows": row + size}, file)
            row += size
            if bar is not None:
                bar.update(row, finalize=row == count)
    return EncodedViews(*arrays, is_blended)


def _open(folder, count, width):
    """The files of features, `is_fake` and positions, made or found."""
    made = (folder / "progress.json").exists()
    arrays = []
    for name, shape, dtype in (
        ("features", (count, width), "float32"),
        ("is_fake", (count,), "bool"),
        ("positions", (count,), "int64"),
    ):
        file = folder / f"{name}.npy"
        mode = {} if made else {"dtype": dtype, "shape": shape}
        arrays.append(np.lib.format.open_memmap(file, "r+" if made else "w+", **mode))
    return arrays


def made_images(index, is_fake, view, positions, seed):
    """Yield what a view makes of some images, in parts of one size.

    Args:
        index: `ImageIndex`.
        is_fake: Boolean array, of each image of the index.
        view: `View`.
        positions: Integer array, which images of the index.
        seed: Tuple of integers.

    Yields:
        Images, a float32 array with colour last, whatever the backend; whether each is fake; and
        the position of each in the index.
    """
    place = 0
    for batch in image_batches(index.take(positions), (None, None, None, 3), batch_size=BLOCK):
        batch.check_read()
        number = np.random.SeedSequence([*seed, place]).generate_state(1)[0] % 2**31
        images, made_fake = view.apply(batch.pixels, int(number))
        of_images = np.tile(
            positions[place : place + len(batch.pixels)], len(images) // len(batch.pixels)
        )
        yield images, is_fake[of_images] if made_fake is None else made_fake, of_images
        place += len(batch.pixels)


def _encode_block(encoder, index, is_fake, view, positions, block, seed):
    row = 0
    for images, fakes, of_images in made_images(index, is_fake, view, positions, seed):
        rows = slice(row, row + len(images))
        vectors = [
            predict_batch(encoder, images[first : first + BLOCK])
            for first in range(0, len(images), BLOCK)
        ]
        block.features[rows] = np.concatenate(vectors)
        block.positions[rows] = of_images
        block.is_fake[rows] = fakes
        row += len(images)
