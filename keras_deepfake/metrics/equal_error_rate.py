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

    The rate is the same whichever of the two classes is the fake one. It is NaN as long as only
    one class was seen, or none: a rate of 0 would be that of a perfect detector.

    Args:
        num_thresholds: Integer from 1 to 1000000, number of thresholds at which the ROC curve is
            taken.
        class_id: 0 or 1, which of two columns of predictions is looked at. Where the columns
            sum to 1 both give the same, as the rate is that of both classes.
        name: String, name of the metric.
        dtype: dtype of the result and of the accumulated counts.

    Call arguments:
        - `y_true`: labels, one-hot columns `(batch, 2)` or class numbers, 0 and 1, of shape
            `(batch,)` or `(batch, 1)`, in the order of the model's class names.
        - `y_pred`: probabilities of shape `(batch, 2)`, or, of class 1, `(batch,)` or `(batch, 1)`.
        - `sample_weight`: optional weights of shape `(batch,)` or `(batch, 1)`.

    Raises:
        ValueError: If an argument is not one of the above, labels or predictions have other
            shapes, or a label or a prediction lies outside of [0, 1], as logits and percentages
            do. A compiled step cannot raise; the result is then NaN.

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
