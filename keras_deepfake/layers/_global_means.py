"""Means over images."""

from keras import ops


def global_mean(values, axes):
    """The mean over the axes, which stay as axes of 1.

    One axis after the other: over two at once TensorFlow adds up pixel after pixel, and the mean
    of a large image is off in its fourth digit.
    """
    for axis in axes:
        values = ops.mean(values, axis=axis, keepdims=True)
    return values
