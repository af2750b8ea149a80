"""What the search spaces of the library have in common."""

import hashlib
import inspect
import json
import weakref

import keras
import keras_tuner
import numpy as np
import tensorflow as tf

from keras_deepfake import datasets


class SeededHyperModel(keras_tuner.HyperModel):
    """Search space whose trials are reproducible and have a batch size of their own.

    Subclasses implement `settings(hp)`, which declares every hyperparameter and returns their
    values by name, and `build_model(settings)`. The seed of a trial is a function of `seed` and
    its settings: the order of trials, the process, and what ran before do not matter.
    """

    def __init__(self, seed=0, name=None, tunable=True):
        super().__init__(name=name, tunable=tunable)
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ValueError(f"`seed` must be an integer of 0 or more; got seed={seed!r}.")
        self.seed = seed
        self._fits = weakref.WeakKeyDictionary()

    def settings(self, hp):
        """Declares every hyperparameter and returns the values by name."""
        raise NotImplementedError

    def build_model(self, settings):
        """Builds and compiles the model of some settings."""
        raise NotImplementedError

    def trial_seed(self, hp):
        """Computes the seed of a trial from `seed` and the values of its hyperparameters.

        Args:
            hp: `keras_tuner.HyperParameters`.

        Returns:
            Integer of 32 bits.
        """
        text = json.dumps([self.seed, self.settings(hp.copy())], sort_keys=True)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    def build(self, hp):
        settings = self.settings(hp)
        keras.utils.set_random_seed(self._execution_seed(hp))
        return self.build_model(settings)

    def fit(self, hp, model, *args, **kwargs):
        arguments = fit_arguments(args, kwargs)
        settings = self.settings(hp)
        initial_epoch = arguments.get("initial_epoch", 0)
        # A trial that goes on, as Hyperband's do, must not see its first epochs again.
        keras.utils.set_random_seed((self._execution_seed(hp) + initial_epoch) % 2**32)
        history = self.fit_model(settings, model, arguments)
        self._fits[hp] = self._fits.get(hp, 0) + 1
        losses = getattr(history, "history", {}).get("loss", [0])
        if not np.isfinite(losses[-1]):
            # Metrics of such a model are numbers, and not always the lowest ones.
            raise keras_tuner.errors.FailedTrialError(
                f"The training diverged: its last loss is {losses[-1]}. Search lower learning "
                "rates, and see that all pixels of the images are finite."
            )
        return history

    def fit_model(self, settings, model, arguments):
        """Trains the model of a trial on the arguments of `keras.Model.fit`."""
        arguments = with_batch_size(arguments, settings["batch_size"])
        arguments["callbacks"] = [*(arguments.get("callbacks") or []), data_order()]
        return model.fit(**arguments)

    def _execution_seed(self, hp):
        # Several executions of a trial share its hyperparameters, and differ only by this.
        return (self.trial_seed(hp) + 1000 * self._fits.get(hp, 0)) % 2**32


def data_order():
    """A callback that gives every epoch its own order of the library's datasets.

    Setting it once before training is not enough: on JAX and torch Keras looks at a batch first,
    which reads a small dataset to its end.
    """
    return keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: datasets.set_epoch(epoch)
    )


def fit_arguments(args, kwargs):
    """Arguments of `keras.Model.fit` by name, checked for what a search cannot do."""
    try:
        arguments = dict(inspect.signature(keras.Model.fit).bind(None, *args, **kwargs).arguments)
    except TypeError as error:
        raise keras_tuner.errors.FatalTypeError(f"`search` got wrong arguments: {error}") from None
    arguments.pop("self")
    if "batch_size" in arguments or "validation_batch_size" in arguments:
        raise keras_tuner.errors.FatalValueError(
            "`batch_size` is a hyperparameter: leave it out of the search's arguments, and give "
            "the hypermodel `batch_size=64` to keep it at one value."
        )
    x = arguments.get("x")
    if x is None or not (isinstance(x, tf.data.Dataset) or hasattr(x, "shape")):
        raise keras_tuner.errors.FatalTypeError(
            "`x` must be an array or a `tf.data.Dataset`, whose batches can be resized; got "
            f"{type(x).__name__}."
        )
    validation = arguments.get("validation_data")
    if not isinstance(validation, (tuple, list, tf.data.Dataset, type(None))):
        raise keras_tuner.errors.FatalTypeError(
            "`validation_data` must be a tuple of arrays or a `tf.data.Dataset`; got "
            f"{type(validation).__name__}."
        )
    return arguments


def with_batch_size(arguments, batch_size):
    """The arguments of `fit` for batches of this size."""
    arguments = dict(arguments)
    validation = arguments.get("validation_data")
    if isinstance(validation, tf.data.Dataset):
        arguments["validation_data"] = in_batches(validation, batch_size)
    elif validation is not None:
        arguments["validation_batch_size"] = batch_size
    if isinstance(arguments["x"], tf.data.Dataset):
        arguments["x"] = in_batches(arguments["x"], batch_size)
        arguments["shuffle"] = False  # that is for the dataset to do
    else:
        arguments["batch_size"] = batch_size
    return arguments


def in_batches(dataset, batch_size):
    """A dataset of images, batched or not, in batches of this size."""
    if tf.nest.flatten(dataset.element_spec)[0].shape.rank == 3:
        return dataset.batch(batch_size)
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        return dataset.rebatch(batch_size)
    # TensorFlow's own count of rebatched batches is too high. Where Keras finds the end of an
    # epoch by running into it, that half step counts as one for the optimizer and for dropout.
    if dataset not in _NUM_IMAGES:
        _NUM_IMAGES[dataset] = sum(int(tf.shape(tf.nest.flatten(batch)[0])[0]) for batch in dataset)
    num_batches = -(-_NUM_IMAGES[dataset] // batch_size)
    return dataset.rebatch(batch_size).apply(tf.data.experimental.assert_cardinality(num_batches))


# Counted once a search, as that takes a pass over the data.
_NUM_IMAGES = weakref.WeakKeyDictionary()
