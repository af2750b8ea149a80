"""Checks of what image layers share beyond `keras_deepfake._arguments`."""

from keras_deepfake._arguments import (
    check_increasing,
    check_integer,
    check_number,
    check_one_or_pair,
)


def check_value_range(value_range):
    """Return `value_range` as two floats, lowest first."""
    try:
        low, high = check_increasing(
            "value_range", value_range, lambda name, value: check_number(name, value, -1e6, 1e6)
        )
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise ValueError(
            "`value_range` must hold the lowest and the highest value of a pixel, such as (0, 1) "
            f"or (0, 255); got {value_range!r}."
        )
    return low, high


def check_side(name, value):
    """Return the side of a kernel, or a stride, in pixels."""
    return check_integer(name, value, 1, 1000)


def check_quality(name, value):
    """Return one JPEG quality, or the lowest and the highest, as two integers."""
    quality = check_one_or_pair(name, value, _check_one_quality)
    pair = quality if isinstance(quality, tuple) else (quality, quality)
    return check_increasing(name, pair, _check_one_quality)


def _check_one_quality(name, value):
    return check_integer(name, value, 1, 100)


def known_channels(layer, input_shape, channel_axis):
    """Return the number of channels of the images, which a layer must know to be built."""
    channels = input_shape[channel_axis]
    if channels is None:
        raise ValueError(
            f"`{type(layer).__name__}` needs a known number of channels; got input shape "
            f"{tuple(input_shape)} with data_format={layer.data_format!r}."
        )
    return channels
