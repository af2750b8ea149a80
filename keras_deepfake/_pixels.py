"""The range of pixel values that the whole library agrees on."""

import numpy as np

# Resizing and low precision leave [0, 1] by rounding errors.
TOLERANCE = 1e-3


def unit_pixels(images, name="images", start=0):
    """Return pixels as a float32 NumPy array in [0, 1], or say what is wrong.

    Args:
        images: Array or tensor of any shape: uint8 in 0-255, or floating point in 0-1.
        name: Name of the argument in the message.
        start: Integer, the number that the message gives to the first image of a batch.

    Raises:
        ValueError: for another dtype or range, NaN and infinity.
    """
    images = to_numpy(images, name)
    if images.dtype == "uint8":
        return images / np.float32(255)
    # NumPy knows no bfloat16 but through Keras, and calls it a void.
    if images.dtype.kind != "f" and images.dtype.name != "bfloat16":
        raise ValueError(
            f"`{name}` must be uint8 in 0-255, or floating point in 0-1; got dtype {images.dtype}. "
            'Convert values from 0 to 255 with `images.astype("uint8")`.'
        )
    images = images.astype("float32")
    low, high = images.min(initial=0.0), images.max(initial=0.0)
    if not np.isfinite(low + high):
        place = name
        if images.ndim == 4:
            place = f"{name}[{start + int(np.argmin(np.isfinite(images).all(axis=(1, 2, 3))))}]"
        raise ValueError(f"`{place}` must hold finite pixel values; got NaN or infinity.")
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise ValueError(
            f"`{name}` of a floating-point dtype must hold pixel values in [0, 1]; got values from "
            f"{low:g} to {high:g}. Divide values from 0 to 255 by 255, or pass them as uint8; a "
            "model that needs another range should scale inside, by a `keras.layers.Rescaling`."
        )
    return np.clip(images, 0.0, 1.0)


def to_numpy(values, name):
    """Return an array or tensor of any backend as a NumPy array of numbers."""
    import keras

    try:
        values = keras.ops.convert_to_numpy(values)
    except Exception as error:  # what a backend raises for what is no array has no common type
        raise ValueError(f"`{name}` must be an array; got {type(values).__name__}.") from error
    if values.dtype == object or values.dtype.kind in "USMm":
        raise ValueError(f"`{name}` must be an array of numbers; got dtype {values.dtype}.")
    return values
