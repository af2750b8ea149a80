"""Checked ranges, and the hyperparameters they become."""

import itertools

import numpy as np


def check_choices(name, choices, allowed):
    """Check a range of names, of which one alone stands for itself; return a tuple."""
    choices = tuple(choices) if isinstance(choices, (tuple, list)) else (choices,)
    unknown = [choice for choice in choices if choice not in allowed]
    if unknown or not choices or len(set(choices)) < len(choices):
        raise ValueError(
            f"`{name}` must be one or more different values among {tuple(allowed)}; got {choices}."
        )
    return choices


def check_numbers(name, choices, least, most, kind=float):
    """Check a range of ascending numbers, of which one alone stands for itself."""
    choices = tuple(choices) if isinstance(choices, (tuple, list)) else (choices,)
    numbers = all(
        isinstance(choice, (int, float, np.number)) and not isinstance(choice, bool)
        for choice in choices
    )
    if (
        not choices
        or not numbers
        or any(not least <= choice <= most or choice != kind(choice) for choice in choices)
        or any(one >= two for one, two in itertools.pairwise(choices))
    ):
        limits = f"from {least} on" if most == float("inf") else f"from {least} to {most}"
        raise ValueError(
            f"`{name}` must be one or more numbers {limits} in ascending order"
            f"{', whole ones' if kind is int else ''}; got {choices}."
        )
    return tuple(kind(choice) for choice in choices)


def check_interval(name, interval, least, kind=float):
    """Check a pair of minimum and maximum."""
    interval = tuple(interval) if isinstance(interval, (tuple, list)) else (interval, interval)
    if len(interval) != 2:
        raise ValueError(f"`{name}` must be `(minimum, maximum)`; got {interval}.")
    low, high = interval
    if not all(isinstance(end, (int, float, np.number)) for end in interval):
        raise ValueError(f"`{name}` must be a pair of numbers; got {interval}.")
    if not least <= low <= high or kind(low) != low or kind(high) != high:
        raise ValueError(
            f"`{name}` must be `(minimum, maximum)` with {least} <= minimum <= maximum"
            f"{', whole numbers' if kind is int else ''}; got {interval}."
        )
    return kind(low), kind(high)


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
