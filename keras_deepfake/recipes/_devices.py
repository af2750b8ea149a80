"""One training on all devices of the machine, each computing a part of every batch."""

import contextlib
from typing import Any, NamedTuple

import keras
import numpy as np


class Devices(NamedTuple):
    """What a training computes on.

    Attributes:
        count: Integer.
        scope: Function without arguments that returns the context in which models are built and
            trained.
    """

    count: int = 1
    scope: Any = contextlib.nullcontext

    def check_batch_size(self, name, batch_size):
        """Raise for a batch of which the devices cannot get equal parts."""
        if batch_size % self.count:
            raise ValueError(
                f"`{name}` must be divisible by the number of devices, {self.count}, which get "
                f"equal parts of a batch; got {batch_size}."
            )

    def trim(self, index):
        """Leave out the last images of an index that have no equal parts for all devices."""
        kept = len(index) // self.count * self.count
        if not kept:
            raise ValueError(
                f"Every part must hold {self.count} images or more, one for each device; got "
                f"{index}. Give more images, or train on one device."
            )
        return index if kept == len(index) else index.take(np.arange(kept))


def all_devices():
    """All accelerators of this machine, or, where there is none, all CPU devices.

    Raises:
        ValueError: On a backend whose `fit` trains on one device.
    """
    if keras.backend.backend() == "jax":
        distribution = keras.distribution.DataParallel()
        return Devices(len(keras.distribution.list_devices()), distribution.scope)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # By default it would take one CPU device where there is no GPU.
        found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        strategy = tf.distribute.MirroredStrategy([device.name for device in found])
        return Devices(len(found), strategy.scope)
    raise ValueError(
        f"On {keras.backend.backend()} Keras trains on one device. Set KERAS_BACKEND=tensorflow "
        "or KERAS_BACKEND=jax, where several work together; the models that are saved load on "
        "every backend."
    )
