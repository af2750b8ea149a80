"""The states of all global random generators that a training may draw from."""

import math
import random

import keras
import numpy as np

# Private names: Keras has no public way to the generator behind `seed=None`, nor one to ask
# whether it is there, and making it would draw from Python's.
from keras.src.backend.common.global_state import get_global_attribute
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR, global_seed_generator

_WORDS = 624  # of the Mersenne Twister, which Python and NumPy share


def random_states():
    """The states of Keras, Python, NumPy and, on its backend, torch, as JSON knows them."""
    # Keras orders arrays by NumPy's generator on JAX, and by torch's on torch.
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    states = {"python": random.getstate(), "numpy": [name, keys.tolist(), *rest]}
    generator = get_global_attribute(GLOBAL_SEED_GENERATOR)
    if generator is not None:
        states["keras"] = np.asarray(generator.state).tolist()
    if keras.backend.backend() == "torch":
        import torch

        states["torch"] = torch.get_rng_state().tolist()
    return states


def checked_random_states(states):
    """What sets the global generators to these states, after trying each on another generator.

    Args:
        states: As `random_states` gives them, after JSON.

    Returns:
        A function without arguments.

    Raises:
        Exception: of any type, for states that a generator would not take.
    """
    on_torch = keras.backend.backend() == "torch"
    expected = {"python", "numpy", *(["torch"] if on_torch else [])}
    if set(states) - {"keras"} != expected:
        raise ValueError(f"the random states are those of {sorted(states)}")

    seed = None
    if "keras" in states:
        probe = keras.random.SeedGenerator(0, name="resume_training").state
        seed = np.array(_integers(states["keras"], 2, 2**32), probe.dtype)
        probe.assign(seed)

    version, words, gauss = states["python"]
    python = (version, tuple(_integers(words, _WORDS + 1, 2**32)), _number(gauss, optional=True))
    random.Random().setstate(python)

    name, words, place, has_gauss, gauss = states["numpy"]
    words = np.array(_integers(words, _WORDS, 2**32), "uint32")
    (place,), (has_gauss,) = _integers([place], 1, _WORDS + 1), _integers([has_gauss], 1, 2)
    numpy = (name, words, place, has_gauss, _number(gauss))
    np.random.RandomState().set_state(numpy)

    torch_state = None
    if on_torch:
        import torch

        size = len(torch.get_rng_state())
        torch_state = torch.tensor(_integers(states["torch"], size, 256), dtype=torch.uint8)
        torch.Generator().set_state(torch_state)

    def restore():
        if seed is not None:
            global_seed_generator().state.assign(seed)
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        if torch_state is not None:
            torch.set_rng_state(torch_state)

    return restore


def _integers(values, count, limit):
    if (
        not isinstance(values, list)
        or len(values) != count
        or not all(type(value) is int and 0 <= value < limit for value in values)
    ):
        raise ValueError(f"a random state must have {count} integers below {limit}")
    return values


def _number(value, optional=False):
    if value is None and optional:
        return None
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"a random state must have a finite number; got {value!r}")
    return value
