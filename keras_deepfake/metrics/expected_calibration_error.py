"""Expected calibration error as a Keras metric."""

import keras
from keras import ops

from keras_deepfake._arguments import MOST_PLACES, check_integer
from keras_deepfake.metrics.score_histogram import ScoreHistogram


@keras.saving.register_keras_serializable(package="keras_deepfake")
class ExpectedCalibrationError(ScoreHistogram):
    """Expected calibration error of the probability of a class, in equal-mass bins.

    Scores are ranked and cut into `num_bins` bins of equal weight; the error is the mean over
    images of the distance between their bin's mean score and its share of the class. 0 means
    that of the images that are fake with a probability of 0.8, four in five are. Lower is better.

    Bins are cut at `num_thresholds` fixed thresholds, which lie closer towards 0 and 1; sums
    within a bin are exact. The error that this adds is at most twice the share of images
    between those neighbouring thresholds that a bin's true limit parts. The exact figure of a
    whole test set is in `kd.evaluation.detection_report`.

    The error is NaN as long as nothing was seen: 0 would be that of a perfect detector.

    Args:
        num_bins: Integer from 1 to 1000000, number of bins.
        num_thresholds: Integer from 1 to 1000000, number of thresholds at which bins may be cut.
        class_id: 0 or 1, which of two columns of predictions is looked at. Where the columns
            sum to 1 both give the same, but for ties at the limits of bins.
        name: String, name of the metric.
        dtype: dtype of the result and of the accumulated sums.

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
        self.num_bins = check_integer("num_bins", num_bins, 1, MOST_PLACES)
        self.scores = self.add_histogram("scores")
        self._direction = "down"

    def add_scores(self, intervals, labels, scores, weights):
        super().add_scores(intervals, labels, scores, weights)
        self.add_to(self.scores, intervals, weights * scores)

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
