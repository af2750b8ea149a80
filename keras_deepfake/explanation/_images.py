"""Images that a map is made of."""

import keras

from keras_deepfake._pixels import unit_pixels


def check_images(images, model):
    """Return one or more images that the model takes as a float32 array in [0, 1]."""
    images = unit_pixels(images)
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            "`images` must be an array of one or more images, of shape (images, height, width, "
            f"channels); got shape {images.shape}. Make a batch of one image by `image[None]`."
        )
    spec = keras.tree.flatten(model.input_spec)[0]
    sizes = dict(enumerate(spec.shape or ())) if spec else {}
    sizes |= (spec.axes or {}) if spec else {}
    if any(size not in (None, images.shape[axis]) for axis, size in sizes.items()):
        raise ValueError(
            "`images` must have a shape that the model takes, "
            f"{tuple(sizes.get(axis) for axis in range(4))}; got {images.shape}."
        )
    return images
