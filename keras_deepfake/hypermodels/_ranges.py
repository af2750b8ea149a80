"""Checked ranges, and the hyperparameters they become."""

import itertools

import numpy as np

from keras_deepfake._arguments import MOST_PLACES, check_choice, check_integer, check_number


def check_choices(name, choices, allowed):
    """Return a range of names as a tuple; one alone stands for itself."""
    choices = tuple(check_choice(name, choice, allowed) for choice in _several(choices))
    if not choices or len(set(choices)) < len(choices):
        raise ValueError(f"`{name}` must be one or more different values; got {choices}.")
    return choices


def check_numbers(name, choices, least, most=None, check=check_number):
    """Return a range of ascending numbers as a tuple; one alone stands for itself."""
    choices = tuple(check(name, choice, least, most) for choice in _several(choices))
    if not choices or any(one >= two for one, two in itertools.pairwise(choices)):
        raise ValueError(f"`{name}` must be one or more numbers in ascending order; got {choices}.")
    return choices


def check_image_shape(image_shape):
    """Return three fixed sizes as a tuple."""
    try:
        image_shape = _several(image_shape)
        if len(image_shape) != 3:
            raise ValueError
        return tuple(check_integer("image_shape", size, 1) for size in image_shape)
    except ValueError as error:
        raise ValueError(
            "`image_shape` must hold three fixed numbers, of height, width and channels in the "
            f"Keras data format; got {image_shape}."
        ) from error


def check_batch_sizes(choices):
    """Return a range of batch sizes as a tuple."""
    return check_numbers("batch_size", choices, 1, MOST_PLACES, check_integer)


def check_interval(name, interval, least, most=None, check=check_number):
    """Return a pair of minimum and maximum; one number alone is both."""
    interval = _several(interval)
    ends = [check(name, end, least, most) for end in interval]
    if len(ends) == 1:
        ends *= 2
    if len(ends) != 2 or ends[0] > ends[1]:
        raise ValueError(
            f"`{name}` must be `(minimum, maximum)` with minimum <= maximum; got {interval}."
        )
    return tuple(ends)


def check_learning_rates(interval):
    """Return the interval of learning rates."""
    return check_interval("learning_rate", interval, 1e-12, 1e3)


def declare_learning_rate(hp, interval):
    """Declare Adam's learning rate, by default the study's 1e-3 or the nearest end."""
    low, high = interval
    if low == high:
        return choose(hp, "learning_rate", [low], low)
    default = min(max(1e-3, low), high)
    return hp.Float("learning_rate", low, high, sampling="log", default=default)


def choose(hp, name, choices, default):
    """Declare a hyperparameter of a few values and return its value.

    The default is `default`, or the nearest number or else the first value of `choices`.
    """
    values = ["none" if choice is None else choice for choice in choices]
    default = "none" if default is None else default
    is_number = isinstance(values[0], (int, float)) and not isinstance(values[0], bool)
    if default not in values:
        default = nearest(values, default) if is_number else values[0]
    if len(values) == 1:
        value = hp.Fixed(name, default)
    elif isinstance(default, bool):
        value = hp.Boolean(name, default)
    else:
        value = hp.Choice(name, values, default=default)
    return None if value == "none" else value


def nearest(values, value):
    """The one of some numbers that is nearest to another."""
    return min(values, key=lambda candidate: abs(candidate - value))


def _several(choices):
    return tuple(choices) if isinstance(choices, (tuple, list, range, np.ndarray)) else (choices,)
