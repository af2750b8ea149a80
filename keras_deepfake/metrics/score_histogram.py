"""What `EqualErrorRate` and `ExpectedCalibrationError` share: histograms of the scores."""

import keras
import numpy as np
from keras import ops


class ScoreHistogram(keras.metrics.Metric):
    """Histogram of the scores of the positive class, of fakes and of reals apart.

    The edges, sin²(πk / (2 · (num_thresholds + 1))), lie closer towards 0 and 1, where a
    confident detector puts its scores.
    """

    def __init__(self, num_thresholds, class_id, name, dtype):
        super().__init__(name=name, dtype=dtype)
        if num_thresholds < 1:
            raise ValueError(f"`num_thresholds` must be at least 1; got {num_thresholds}.")
        if class_id not in (0, 1):
            raise ValueError(
                "`class_id` must be 0 or 1, the column of the positive class in two-column "
                f"predictions; got {class_id}."
            )
        self.num_thresholds = num_thresholds
        self.class_id = class_id
        self.num_intervals = num_thresholds + 1
        angles = np.pi / 2 * np.arange(1, self.num_intervals) / self.num_intervals
        self.edges = np.sin(angles) ** 2
        self.positives = self._histogram("positives")
        self.negatives = self._histogram("negatives")

    def _histogram(self, name):
        return self.add_variable(shape=(self.num_intervals,), initializer="zeros", name=name)

    def _positive_column(self, name, tensor):
        tensor = ops.cast(tensor, self.dtype)
        columns = 1 if len(tensor.shape) == 1 else tensor.shape[-1]
        if len(tensor.shape) > 2 or columns not in (1, 2):
            raise ValueError(
                f"`{name}` must have shape (batch,), (batch, 1) or (batch, 2), as detection has "
                f"two classes; got {tuple(tensor.shape)}."
            )
        return ops.reshape(tensor if columns == 1 else tensor[:, self.class_id], (-1,)), columns

    def update_state(self, y_true, y_pred, sample_weight=None):
        scores, score_columns = self._positive_column("y_pred", y_pred)
        labels, label_columns = self._positive_column("y_true", y_true)
        if score_columns == 2 and label_columns == 1:
            # Class numbers, as for `SparseCategoricalCrossentropy`.
            labels = ops.cast(ops.equal(labels, self.class_id), self.dtype)
        weights = ops.ones_like(scores)
        if sample_weight is not None:
            sample_weight = ops.cast(sample_weight, self.dtype)
            if len(sample_weight.shape) > 0:
                sample_weight = ops.reshape(sample_weight, (-1,))
            weights = weights * sample_weight
        # Nothing can raise inside a compiled step; a NaN result cannot be taken for a good one.
        valid = ops.logical_and(scores >= 0, scores <= 1)
        weights = ops.where(valid, weights, float("nan"))
        edges = ops.convert_to_tensor(self.edges, dtype=self.dtype)
        intervals = ops.searchsorted(edges, ops.where(valid, scores, 0.0), side="right")
        self._add(intervals, labels, scores, weights)

    def _add(self, intervals, labels, scores, weights):
        self._add_to(self.positives, intervals, weights * labels)
        self._add_to(self.negatives, intervals, weights * (1 - labels))

    def _add_to(self, histogram, intervals, values):
        histogram.assign_add(ops.segment_sum(values, intervals, num_segments=self.num_intervals))

    def get_config(self):
        return {
            **super().get_config(),
            "num_thresholds": self.num_thresholds,
            "class_id": self.class_id,
        }
