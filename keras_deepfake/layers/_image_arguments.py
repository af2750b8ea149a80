"""Checks of the two arguments that image layers share."""

import keras


def check_data_format(data_format):
    """Return `data_format`, or Keras' global setting where it is `None`."""
    data_format = data_format or keras.config.image_data_format()
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(
            f"`data_format` must be 'channels_last', 'channels_first' or None; got {data_format!r}."
        )
    return data_format


def check_value_range(value_range):
    """Return `value_range` as two floats, lowest first."""
    try:
        low, high = map(float, value_range)
    except (TypeError, ValueError):
        low = high = 0.0
    if not low < high:
        raise ValueError(
            "`value_range` must hold the lowest and the highest value of a pixel, such as (0, 1) "
            f"or (0, 255); got {value_range!r}."
        )
    return low, high
