"""Vectors of images from a frozen encoder, computed once."""

import keras
import numpy as np

from keras_deepfake.models.image_batches import count_images, image_batches
from keras_deepfake.models.prediction import ImageSizeError, check_finite_weights, predict_batch


def encode(encoder, data, image_size=None, batch_size=32, num_classes=2, verbose=0):
    """Compute what an encoder makes of labelled images.

    Args:
        encoder: A built Keras model from images to a vector.
        data: Labelled images, as `image_batches` takes them.
        image_size: `(height, width)` to which images are resized, or `None`.
        batch_size: Integer.
        num_classes: Integer.
        verbose: 0 for silence, otherwise a progress bar.

    Returns:
        A float32 array `(images, features)` and an integer array `(images,)` of class numbers,
        in the order of the data.

    Raises:
        ValueError: for what `image_batches` refuses, files that cannot be read, images that are
            too small for the encoder, and weights that are not finite.
    """
    check_finite_weights(encoder)
    count = count_images(data)
    # Where it is known nothing is copied at the end.
    features = None if count is None else np.empty((count, encoder.output_shape[-1]), "float32")
    parts, labels = [], []
    bar = keras.utils.Progbar(count, unit_name="image", verbose=1) if verbose else None
    for batch in image_batches(
        data, encoder.input_shape, image_size, batch_size, labelled=True, num_classes=num_classes
    ):
        batch.check_read()
        try:
            vectors = predict_batch(encoder, batch.pixels)
        except ImageSizeError as error:
            raise ValueError(f"{batch.images[0].name!r} cannot be encoded: {error}") from error
        if features is None:
            parts.append(vectors.astype("float32"))
        else:
            features[len(labels) : len(labels) + len(vectors)] = vectors
        labels += [image.label for image in batch.images]
        if bar is not None:
            bar.update(len(labels), finalize=len(labels) == count)
    if features is None and parts:
        features = np.concatenate(parts)
    if not labels:
        raise ValueError("`x` holds no images.")
    return features, np.array(labels)
