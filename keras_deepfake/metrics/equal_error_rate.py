"""Equal error rate as a Keras metric."""

import keras
from keras import ops

from keras_deepfake.metrics.score_histogram import ScoreHistogram


@keras.saving.register_keras_serializable(package="keras_deepfake")
class EqualErrorRate(ScoreHistogram):
    """Equal error rate: where as many reals are called fake as fakes are called real, in shares.

    The point at which the false-positive rate equals the false-negative rate on the linearly
    interpolated ROC curve: 0 for a perfect detector, 0.5 for guessing. Lower is better, so a
    `keras.callbacks.ModelCheckpoint` or a tuner needs `mode="min"`, `direction="min"`.

    The curve is taken at `num_thresholds` thresholds, which lie closer towards 0 and 1. The
    error that this adds is at most the share of the reals, and at most the share of the fakes,
    that score between the two thresholds on either side of the result. The exact rate of a
    whole test set is in `kd.evaluation.detection_report`.

    Predictions must be probabilities: values outside [0, 1] make the result NaN, and so does
    having seen one class only.

    Args:
        num_thresholds: Integer, number of thresholds at which the ROC curve is taken.
        class_id: 0 or 1, the column of the positive (fake) class where labels or predictions
            have two columns. Predictions in one column are the probability of being fake,
            their labels are 1 for fake. Labels in one column with predictions in two are class
            numbers: `class_id` is the number of the fake class.
        name: String, name of the metric.
        dtype: dtype of the result and of the accumulated counts.

    Call arguments:
        y_true: Labels of shape `(batch,)`, `(batch, 1)` or, one-hot, `(batch, 2)`.
        y_pred: Probabilities of shape `(batch,)`, `(batch, 1)` or `(batch, 2)`.
        sample_weight: Optional weights of shape `(batch,)` or `(batch, 1)`.

    Raises:
        ValueError: when labels or predictions have more than two columns.

    Example:
    ```python
    metric = kd.metrics.EqualErrorRate()
    metric.update_state([[1, 0], [1, 0], [0, 1], [0, 1]],
                        [[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.1, 0.9]])
    metric.result()  # 0.5
    ```

    Reference:
        [ISO/IEC 19795-1](https://www.iso.org/standard/73515.html); the interpolation is that
        of the ROC curve in [Fawcett, 2006](https://doi.org/10.1016/j.patrec.2005.10.010)
    """

    def __init__(self, num_thresholds=1000, class_id=0, name="equal_error_rate", dtype=None):
        super().__init__(num_thresholds, class_id, name, dtype)
        self._direction = "down"

    def result(self):
        # From the highest threshold, above every score, to the lowest, below every score.
        true_positives = ops.cumsum(ops.flip(self.positives.value, axis=0))
        false_positives = ops.cumsum(ops.flip(self.negatives.value, axis=0))
        true_positive_rates = ops.pad(true_positives / true_positives[-1], (1, 0))
        false_positive_rates = ops.pad(false_positives / false_positives[-1], (1, 0))
        excess = false_positive_rates + true_positive_rates - 1
        below = ops.sum(ops.cast(excess[:-1] < 0, "int32")) - 1
        below = ops.maximum(below, 0)
        here, there = ops.take(excess, below), ops.take(excess, below + 1)
        start = ops.take(false_positive_rates, below)
        step = ops.take(false_positive_rates, below + 1) - start
        return start - here / (there - here) * step
