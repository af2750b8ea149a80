"""The callback that ends a training that has diverged."""

import keras
import numpy as np
from keras import ops


class DivergenceCheck(keras.callbacks.Callback):
    """Stops training at the first loss or weight that is NaN or infinite.

    The loss is looked at after every batch, the weights after the first batch and after every
    epoch: on TensorFlow a ReLU makes 0 of NaN, so that a network without any finite weight can
    have a finite loss. It must be the first callback, before those that write files.

    Raises:
        FloatingPointError: with the epoch, the batch, and the loss or weight.
    """

    # It reads nothing but its arguments after a batch, so that Keras need not wait for it.
    async_safe = True

    def on_train_begin(self, logs=None):
        self._weights_seen = False

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        # Not at the end of the first batch, when JAX may still be computing the weights.
        if batch > 0 and not self._weights_seen:
            self._check_weights("after the first batch")

    def on_train_batch_end(self, batch, logs=None):
        self._check_losses(logs, f"at batch {batch}")

    def on_epoch_end(self, epoch, logs=None):
        self._check_losses(logs, "at its end")
        self._check_weights("at its end")

    def _check_losses(self, logs, moment):
        for name, value in (logs or {}).items():
            if (name == "loss" or name.endswith("_loss")) and not np.all(np.isfinite(value)):
                self._stop(f"`{name}` is {value}", moment)

    def _check_weights(self, moment):
        self._weights_seen = True
        path = non_finite_weight(self.model)
        if path is not None:
            self._stop(f"the weight {path!r} is not finite", moment)

    def _stop(self, finding, moment):
        raise FloatingPointError(
            f"The training of {self._model.name!r} diverged in epoch {self._epoch} {moment} "
            f"(counted from 0): {finding}. Use a lower learning rate or weaker penalties, and see "
            "that all images and labels are finite."
        )


def non_finite_weight(model):
    """The path of the first weight that holds NaN or infinity, or `None`."""
    weights = [variable for variable in model.variables if "float" in variable.dtype]
    if not weights:
        return None
    # One transfer from the device, whatever the number of weights.
    finite = ops.stack([ops.all(ops.isfinite(weight)) for weight in weights])
    bad = np.flatnonzero(~ops.convert_to_numpy(finite))
    return weights[bad[0]].path if len(bad) else None
