"""Expected calibration error as a Keras metric."""

import keras
from keras import ops

from keras_deepfake.metrics.score_histogram import ScoreHistogram


@keras.saving.register_keras_serializable(package="keras_deepfake")
class ExpectedCalibrationError(ScoreHistogram):
    """Expected calibration error of the probability of being fake, in equal-mass bins.

    Scores are ranked and cut into `num_bins` bins of equal weight; the error is the mean over
    images of the distance between their bin's mean score and its share of fakes. 0 means that
    of the images scored 0.8, four in five are fake. Lower is better.

    Bins are cut at `num_thresholds` fixed thresholds, which lie closer towards 0 and 1; sums
    within a bin are exact. The error that this adds is at most twice the share of images
    between those neighbouring thresholds that a bin's true limit parts. The exact figure of a
    whole test set is in `kd.evaluation.detection_report`.

    Predictions must be probabilities: values outside [0, 1] make the result NaN.

    Args:
        num_bins: Integer, number of bins.
        num_thresholds: Integer, number of thresholds at which bins may be cut.
        class_id: 0 or 1, the column of the positive (fake) class where labels or predictions
            have two columns. Predictions in one column are the probability of being fake,
            their labels are 1 for fake. Labels in one column with predictions in two are class
            numbers: `class_id` is the number of the fake class.
        name: String, name of the metric.
        dtype: dtype of the result and of the accumulated sums.

    Call arguments:
        y_true: Labels of shape `(batch,)`, `(batch, 1)` or, one-hot, `(batch, 2)`.
        y_pred: Probabilities of shape `(batch,)`, `(batch, 1)` or `(batch, 2)`.
        sample_weight: Optional weights of shape `(batch,)` or `(batch, 1)`.

    Raises:
        ValueError: when labels or predictions have more than two columns.

    Example:
    ```python
    metric = kd.metrics.ExpectedCalibrationError(num_bins=2)
    metric.update_state([1, 1, 0, 0], [0.9, 0.7, 0.3, 0.1])
    metric.result()  # 0.2
    ```

    Reference:
        [Nguyen and O'Connor, 2015](https://aclanthology.org/D15-1182/)
    """

    def __init__(
        self,
        num_bins=15,
        num_thresholds=1000,
        class_id=0,
        name="expected_calibration_error",
        dtype=None,
    ):
        super().__init__(num_thresholds, class_id, name, dtype)
        if num_bins < 1:
            raise ValueError(f"`num_bins` must be at least 1; got {num_bins}.")
        self.num_bins = num_bins
        self.scores = self._histogram("scores")
        self._direction = "down"

    def _add(self, intervals, labels, scores, weights):
        super()._add(intervals, labels, scores, weights)
        self._add_to(self.scores, intervals, weights * scores)

    def result(self):
        mass = self.positives.value + self.negatives.value
        ends = ops.cumsum(mass)
        # A limit that falls on a whole number must not depend on how a backend rounds.
        bins = ops.floor((ends - mass / 2) * self.num_bins / ends[-1] + 1e-5)
        bins = ops.clip(ops.cast(bins, "int32"), 0, self.num_bins - 1)
        gaps = ops.segment_sum(
            self.positives.value - self.scores.value, bins, num_segments=self.num_bins
        )
        return ops.sum(ops.abs(gaps)) / ends[-1]

    def get_config(self):
        return {**super().get_config(), "num_bins": self.num_bins}
