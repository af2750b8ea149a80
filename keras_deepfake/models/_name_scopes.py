"""Names of variables that no other model of the process has."""

import itertools

import keras

_numbers = itertools.count()


def own_name_scope(name):
    """A name scope for the variables of one model.

    On the torch backend Keras tells parameters apart by the paths of their variables. Two models
    of one architecture have the same ones, and if a third holds both, half of its parameters get
    no gradient of their own.
    """
    return keras.name_scope(f"{name}_{next(_numbers)}")
