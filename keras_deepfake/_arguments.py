"""Checks of arguments, each with the one message that the whole library gives.

Every function names the argument and its value, says what was expected, and returns the value in
its plain Python type.
"""

import math
import operator
import os
from pathlib import Path

# `tf.data` and NumPy reserve as many places as they are told, before the first is used.
MOST_PLACES = 1_000_000


def check_integer(name, value, least, most=None):
    """Return `value` as an int in [least, most]; booleans and floats are none."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least or (most is not None and number > most):
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"`{name}` must be an integer {limits}; got {_shown(value)}.")
    return number


def check_seed(value, optional=False):
    """Return a seed as an int, or `None` where that is allowed."""
    if value is None and optional:
        return None
    # PyTorch keeps seeds in 32 bits with a sign.
    return check_integer("seed", value, 0, 2**31 - 1)


def check_number(name, value, least=None, most=None, *, above=None, below=None):
    """Return `value` as a finite float in [least, most], or (above, below) at an open end."""
    try:
        if isinstance(value, (bool, str, bytes)):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    limits = {
        "of at least": (least, lambda limit: number >= limit),
        "above": (above, lambda limit: number > limit),
        "of at most": (most, lambda limit: number <= limit),
        "below": (below, lambda limit: number < limit),
    }
    limits = {word: limit for word, limit in limits.items() if limit[0] is not None}
    if not math.isfinite(number) or not all(fits(limit) for limit, fits in limits.values()):
        words = " and".join(f" {word} {limit:g}" for word, (limit, _) in limits.items())
        raise ValueError(f"`{name}` must be a finite number{words}; got {_shown(value)}.")
    return number


def check_rate(name, value):
    """Return a float above 0 and below 1, or `None`."""
    return None if value is None else check_number(name, value, above=0, below=1)


def check_flag(name, value):
    """Return `value` if it is `True` or `False`."""
    if not isinstance(value, bool):
        raise ValueError(f"`{name}` must be True or False; got {_shown(value)}.")
    return value


def check_choice(name, value, choices):
    """Return `value` if it is one of `choices`."""
    # Not `in`, which an array answers with another array.
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, choices))}; got {_shown(value)}."
        )
    return value


def check_pair(name, value, check):
    """Return two values, each passed through `check(name, value)`."""
    if not _is_sequence(value) or len(value) != 2:
        raise ValueError(f"`{name}` must be a pair of two values; got {_shown(value)}.")
    return tuple(check(f"{name}[{place}]", part) for place, part in enumerate(value))


def check_one_or_pair(name, value, check):
    """Return one value, or a pair of two, each passed through `check(name, value)`."""
    return check_pair(name, value, check) if _is_sequence(value) else check(name, value)


def check_increasing(name, value, check):
    """Return a pair as `check_pair` does, whose first value is not above its second."""
    low, high = check_pair(name, value, check)
    if low > high:
        raise ValueError(f"`{name}` must hold the lower value first; got {_shown(value)}.")
    return low, high


def check_sequence(name, value, check):
    """Return one or more values as a tuple, each passed through `check(name, value)`."""
    if not _is_sequence(value) or not len(value):
        raise ValueError(f"`{name}` must be a sequence of one or more values; got {_shown(value)}.")
    return tuple(check(f"{name}[{place}]", part) for place, part in enumerate(value))


def check_image_size(value, name="image_size"):
    """Return `(height, width)` as two positive ints."""
    try:
        return check_pair(name, value, lambda part, side: check_integer(part, side, 1, 1_000_000))
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be a tuple `(height, width)` of positive integers, such as (256, 256); "
            f"got {_shown(value)}."
        ) from error


def check_data_format(value):
    """Return the data format, or the global setting of Keras where it is `None`."""
    if value is None:
        import keras

        return keras.config.image_data_format()
    return check_choice("data_format", value, ("channels_last", "channels_first"))


def check_entries(name, values, count):
    """Return a list of `count` hashable values, one for each image."""
    if not _is_sequence(values):
        raise ValueError(
            f"`{name}` must be a list or array with one entry for each image; got {_shown(values)}."
        )
    values = list(values)
    if len(values) != count:
        raise ValueError(
            f"`{name}` must have one entry for each image; got {len(values)} for {count} images."
        )
    for place, value in enumerate(values):
        try:
            hash(value)
        except TypeError:
            raise ValueError(
                f"`{name}` must hold one text or number for each image; got a "
                f"{type(value).__name__} at position {place}."
            ) from None
    return values


def check_keras(name, value, get, expected):
    """Return what a function of Keras, such as `keras.activations.get`, makes of `value`."""
    try:
        return get(value)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be {expected}; got {_shown(value)}.") from error


def check_activation(name, value):
    """Return the function of an activation that Keras knows, or that is one."""
    import keras

    expected = "the name of a Keras activation, a function or None"
    if isinstance(value, type):
        raise ValueError(f"`{name}` must be {expected}; got the class {value.__name__}.")
    return check_keras(name, value, keras.activations.get, expected)


def check_policy(value):
    """Return the dtype policy of a name, of a policy, or of `None`, the global one."""
    import keras

    expected = "the name of a floating-point dtype or dtype policy, a policy or None"
    policy = check_keras("dtype", value, keras.dtype_policies.get, expected)
    if "float" not in policy.compute_dtype:
        raise ValueError(f"`dtype` must be {expected}; got {_shown(value)}.")
    return policy


def check_text(name, value):
    """Return `value` if it is a str."""
    if not isinstance(value, str):
        raise ValueError(f"`{name}` must be a text; got {_shown(value)}.")
    return value


def check_path(name, value):
    """Return a path as `pathlib.Path`."""
    if not isinstance(value, (str, os.PathLike)) or not str(value) or "\0" in str(value):
        raise ValueError(f"`{name}` must be a path (str or `pathlib.Path`); got {_shown(value)}.")
    return Path(value)


def _is_sequence(value):
    # A set has no order, a scalar tensor no length.
    if isinstance(value, (str, bytes, set, frozenset, dict)) or not hasattr(value, "__len__"):
        return False
    return getattr(value, "shape", None) != ()


def _shown(value):
    """`repr` of the value, cut where it would fill the screen."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({type(value).__name__})"
