"""Scale and offset of each channel."""

import keras
import numpy as np


def rescaling(scale, offset):
    """A layer that multiplies every channel by its scale and adds its offset."""
    scale, offset = np.asarray(scale, "float64"), np.asarray(offset, "float64")
    if keras.config.image_data_format() == "channels_first":
        # Keras brings the scale into this shape by itself, but not the offset.
        scale, offset = scale[:, None, None], offset[:, None, None]
    return keras.layers.Rescaling(scale.tolist(), offset.tolist(), name="preprocessing")
