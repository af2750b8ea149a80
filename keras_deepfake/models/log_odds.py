"""From the probabilities of several classifiers to those of their combination."""

import keras
import numpy as np
from keras import ops

# Keep logarithms finite. The second is half a step of float32 below 1: no probability that
# float32 can tell from 1 is above it.
SMALLEST, SMALLEST_REST = 1e-30, 3e-8


@keras.saving.register_keras_serializable(package="keras_deepfake")
class LogOddsCombination(keras.layers.Layer):
    """P(fake) and P(real) of `bias + Σ weightᵢ · log-odds of fake of classifier i`.

    Args:
        weights: Floats, one for each classifier.
        bias: Float.
        fake_columns: Integers, which column of each classifier is the fake class. A classifier of
            one column gives the probability of class 1, so that 0 stands for its complement.
        fake_index: 0 or 1, the fake column of the output.
        **kwargs: Base layer arguments.

    Input shape:
        List of `(batch, 1)` or `(batch, 2)`, probabilities in [0, 1]. Two columns need not sum
        to 1: their ratio counts.

    Output shape:
        `(batch, 2)`, float32.
    """

    def __init__(self, weights, bias, fake_columns, fake_index, **kwargs):
        # Inputs would be rounded to the compute dtype of a mixed policy before `call`.
        super().__init__(autocast=False, dtype="float32", **kwargs)
        self.member_weights = tuple(weights)
        self.bias = bias
        self.fake_columns = tuple(fake_columns)
        self.fake_index = fake_index
        self.built = True

    def call(self, inputs):
        log_odds = self.bias
        for outputs, weight, column in zip(
            inputs, self.member_weights, self.fake_columns, strict=True
        ):
            outputs = ops.cast(outputs, "float32")
            log_odds += weight * _log_odds(ops, outputs, column)
        # Towards the column of the fake class, away from the other.
        signs = [1.0, -1.0] if self.fake_index == 0 else [-1.0, 1.0]
        return ops.sigmoid(log_odds * ops.convert_to_tensor([signs], dtype="float32"))

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((inputs[0].shape[0], 2), dtype="float32")

    def get_config(self):
        config = super().get_config()
        del config["dtype"]
        config.update(
            weights=self.member_weights,
            bias=self.bias,
            fake_columns=self.fake_columns,
            fake_index=self.fake_index,
        )
        return config


def log_odds(outputs, fake_column):
    """Log-odds of fake of each row of a classifier's NumPy outputs, as float64."""
    return _log_odds(np, np.asarray(outputs, "float64"), fake_column)[:, 0]


def _log_odds(numpy, outputs, column):
    """Shape `(batch, 1)`, by `numpy` or `keras.ops`."""
    if outputs.shape[1] == 2:
        fake, real = outputs[:, column : column + 1], outputs[:, 1 - column : 2 - column]
        real = numpy.log(numpy.maximum(real, SMALLEST))
        return numpy.log(numpy.maximum(fake, SMALLEST)) - real
    sign = 2.0 * column - 1.0
    rest = numpy.log(numpy.maximum(1.0 - outputs, SMALLEST_REST))
    return sign * (numpy.log(numpy.maximum(outputs, SMALLEST)) - rest)


def sigmoid(log_odds):
    """Probability of log-odds, of NumPy arrays of any size of numbers."""
    return 0.5 + 0.5 * np.tanh(0.5 * log_odds)
