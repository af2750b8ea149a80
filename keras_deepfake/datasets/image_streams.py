"""Many image files, one after the other, decoded side by side."""

import os

import numpy as np
import tensorflow as tf

from keras_deepfake.datasets._inspection import inspect_image
from keras_deepfake.datasets.image_datasets import call_weakly
from keras_deepfake.datasets.image_files import decode_image, resize_image, scale_image

# Files whose headers are read at a time, ahead of their decoding.
_HEADERS = 64
# Images that leave the pipeline together, where they have one size.
_BATCH = 32


def stream_images(paths, image_size=None, decoders=None):
    """Yields the images of files in the order of the paths, as `load_image` reads them.

    Args:
        paths: Sequence of strings.
        image_size: `(height, width)` to resize to; `None` keeps the sizes of the files.
        decoders: Integer array, who decodes each file, where it is known.

    Yields:
        Pairs of a position in `paths` and a float32 array `(height, width, 3)` in [0, 1]. The
        positions of files that cannot be read are left out.
    """
    files = _Files(paths, decoders)
    shape = (None, None) if image_size is None else image_size

    def read(position, path, decoder):
        image = decode_image(path, decoder)
        image = scale_image(image) if image_size is None else resize_image(image, image_size)
        return position, tf.ensure_shape(image, (*shape, 3))

    with tf.device("CPU:0"):
        dataset = (
            tf.data.Dataset.range(-(-len(paths) // _HEADERS))
            .map(files.readable_part)
            .prefetch(1)
            .flat_map(lambda *part: tf.data.Dataset.from_tensor_slices(part))
            .map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .ignore_errors()
        )
        if image_size is not None:
            dataset = dataset.batch(_BATCH)
        dataset = dataset.prefetch(2)
    # Not within the scope of the device: between two images the caller's models run.
    for positions, images in dataset.as_numpy_iterator():
        if image_size is None:
            positions, images = [positions], [images]
        yield from zip(positions, images, strict=True)


class _Files:
    """Paths, and who decodes each."""

    def __init__(self, paths, decoders):
        self.paths, self.decoders = paths, decoders

    def readable_part(self, number):
        """The positions, paths and decoders of a part, in the graph of a dataset."""
        part = call_weakly(self._inspect, [number], ["int64", "string", "int32"])
        return [tf.ensure_shape(tensor, [None]) for tensor in part]

    def _inspect(self, number):
        start = number * _HEADERS
        positions, decoders = [], []
        for position in range(start, min(start + _HEADERS, len(self.paths))):
            try:
                decoder = self._decoder(position)
            except ValueError:
                continue
            positions.append(position)
            decoders.append(decoder)
        paths = [os.fsencode(self.paths[position]) for position in positions]
        return np.array(positions, "int64"), np.array(paths, object), np.array(decoders, "int32")

    def _decoder(self, position):
        if self.decoders is not None:
            return self.decoders[position]
        return inspect_image(self.paths[position])[2]
