"""What makes two trainings the same."""

import collections
import json
import re

import keras
import numpy as np


def training_signature(model, steps, variables):
    """Describe a training that is about to start, as JSON knows it.

    Numbers that Keras gives to names are left out, as they depend on what else a process made,
    and so are seeds, which Keras draws where there are none.

    Args:
        model: The compiled model.
        steps: Batches an epoch, or `None` where they are not known.
        variables: Variables of the model and its optimizer.

    Returns:
        Dictionary.
    """
    signature = {
        "backend": keras.backend.backend(),
        "steps_per_epoch": steps,
        # Models of this library look at the data before they train.
        "digest_of_data": getattr(model, "_data_digest", None),
        "optimizer": _described(model.optimizer),
        "loss": _described(model.loss),
        "model": _described(model),
        "variables": [
            {
                "path": _without_numbers(variable.path),
                "shape": list(variable.shape),
                "dtype": str(variable.dtype),
                "trainable": bool(variable.trainable),
            }
            for variable in variables
        ],
    }
    return json.loads(json.dumps(signature))


def first_difference(saved, own, place=""):
    """Say where two signatures that are not equal differ first."""
    if isinstance(saved, dict) and isinstance(own, dict):
        for key in [*own, *(key for key in saved if key not in own)]:
            if key not in own or key not in saved or saved[key] != own[key]:
                inner = f"{place}.{key}" if place else key
                return first_difference(saved.get(key), own.get(key), inner)
    if isinstance(saved, list) and isinstance(own, list) and len(saved) == len(own):
        for i, (theirs, ours) in enumerate(zip(saved, own, strict=True)):
            if theirs != ours:
                return first_difference(theirs, ours, f"{place}[{i}]")
    return f"`{place}` was {_shortened(saved)} and is {_shortened(own)} now"


def _described(thing):
    if isinstance(thing, (bool, int, float, type(None))):
        return thing
    if isinstance(thing, str):
        return _without_numbers(thing)
    if isinstance(thing, dict):
        values = {str(key): value for key, value in thing.items() if key != "seed"}
        return dict(zip(_renumbered(values), map(_described, values.values()), strict=True))
    if isinstance(thing, (list, tuple)):
        return [_described(value) for value in thing]
    if isinstance(thing, (np.ndarray, np.generic)):
        return thing.tolist()
    if not hasattr(thing, "get_config"):
        return getattr(thing, "__name__", type(thing).__name__)
    try:
        config = thing.get_config()
    except NotImplementedError:  # what has no configuration is described by its class
        config = None
    return {"class_name": type(thing).__name__, "config": _described(config)}


def _renumbered(keys):
    """Keys, some of which are paths of layers, numbered by their order where they need a number."""
    names = list(map(_without_numbers, keys))
    counts, seen = collections.Counter(names), collections.Counter()
    for name in names:
        seen[name] += 1
        yield name if counts[name] == 1 else f"{name}_{seen[name]}"


def _without_numbers(name):
    return re.sub(r"_\d+", "", name)


def _shortened(value):
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
