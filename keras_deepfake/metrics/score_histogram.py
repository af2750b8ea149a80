"""The base of metrics that are computed from histograms of the scores."""

import sys

import keras
import numpy as np
from keras import ops

from keras_deepfake._arguments import MOST_PLACES, check_integer, check_policy, check_text


class ScoreHistogram(keras.metrics.Metric):
    """Base of metrics of the whole ROC or calibration curve; write your own by subclassing it.

    Gathers the histogram of the scores over all batches, of the positive class and of the other
    one apart, in a few thousand numbers whatever the number of images. A subclass computes what it
    wants from them in `result()`, out of

    - `self.positives.value` and `self.negatives.value`, the weight of the images of the positive
      and of the other class in each of the `num_intervals` = `num_thresholds + 1` intervals;
    - `self.edges`, the `num_thresholds` limits between them, sin²(πk / (2 · num_intervals)), which
      lie closer towards 0 and 1, where a confident detector puts its scores.

    More histograms are made by `self.add_histogram(name)` in `__init__` and filled by extending
    `add_scores`. Arguments of its own belong into `get_config`, and the class is to be registered
    for saving.

    Args:
        num_thresholds: Integer from 1 to 1000000, number of limits between intervals.
        class_id: 0 or 1, the number of the positive class, whose column of two holds the scores.
            Predictions of one column are the probability of class 1, which is then the positive
            one.
        name: String or `None`, name of the metric.
        dtype: dtype of the result and of the accumulated weights.

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
        @keras.saving.register_keras_serializable(package="my_project")
        class BestBalancedAccuracy(kd.metrics.ScoreHistogram):
            def result(self):
                missed = keras.ops.cumsum(self.positives.value) / keras.ops.sum(self.positives)
                passed = keras.ops.cumsum(self.negatives.value) / keras.ops.sum(self.negatives)
                return 0.5 + keras.ops.max(passed - missed) / 2

        metric = BestBalancedAccuracy(class_id=1)
        metric.update_state([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9])
        metric.result()  # 1.0
        ```
    """

    def __init__(self, num_thresholds=1000, class_id=0, name=None, dtype=None):
        if name is not None:
            check_text("name", name)
        check_policy(dtype)
        super().__init__(name=name, dtype=dtype)
        self.num_thresholds = check_integer("num_thresholds", num_thresholds, 1, MOST_PLACES)
        self.class_id = check_integer("class_id", class_id, 0, 1)
        self.num_intervals = self.num_thresholds + 1
        angles = np.pi / 2 * np.arange(1, self.num_intervals) / self.num_intervals
        self.edges = np.sin(angles) ** 2
        self.positives = self.add_histogram("positives")
        self.negatives = self.add_histogram("negatives")

    def add_histogram(self, name):
        """Make one more variable with a number for each interval."""
        return self.add_variable(shape=(self.num_intervals,), initializer="zeros", name=name)

    def add_scores(self, intervals, labels, scores, weights):
        """Count a batch.

        Args:
            intervals: Integers, the interval of each score.
            labels: 1 for the positive class and 0 for the other, as floats.
            scores: The probabilities of the positive class.
            weights: The weights of the images.
        """
        self.add_to(self.positives, intervals, weights * labels)
        self.add_to(self.negatives, intervals, weights * (1 - labels))

    def add_to(self, histogram, intervals, values):
        """Add values to those of their intervals in a variable of `add_histogram`."""
        histogram.assign_add(ops.segment_sum(values, intervals, num_segments=self.num_intervals))

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels, scores = ops.cast(y_true, self.dtype), ops.cast(y_pred, self.dtype)
        for name, values in (("y_true", labels), ("y_pred", scores)):
            if len(values.shape) not in (1, 2) or _columns(values) not in (1, 2):
                raise ValueError(
                    f"`{name}` must have shape (batch,), (batch, 1) or (batch, 2), as detection "
                    f"has two classes; got {tuple(values.shape)}."
                )
            if not _is_traced(values):
                _check_probabilities(name, ops.convert_to_numpy(values))
        # One column is the probability of class 1, as in Keras's binary models.
        positive = self.class_id if _columns(scores) == 2 else 1
        if _columns(labels) == 1 and positive == 0:
            labels = 1 - labels
        labels, scores = (
            ops.reshape(values if _columns(values) == 1 else values[:, positive], (-1,))
            for values in (labels, scores)
        )
        weights = ops.ones_like(scores)
        if sample_weight is not None:
            sample_weight = ops.cast(sample_weight, self.dtype)
            if len(sample_weight.shape) > 0:
                sample_weight = ops.reshape(sample_weight, (-1,))
                _check_length("sample_weight", sample_weight, scores)
            weights = weights * sample_weight
        _check_length("y_true", labels, scores)
        # Nothing can raise inside a compiled step; a NaN result cannot be taken for a good one.
        valid = ops.logical_and(
            ops.logical_and(scores >= 0, scores <= 1), ops.logical_and(labels >= 0, labels <= 1)
        )
        weights = ops.where(valid, weights, float("nan"))
        edges = ops.convert_to_tensor(self.edges, dtype=self.dtype)
        intervals = ops.searchsorted(edges, ops.where(valid, scores, 0.0), side="right")
        self.add_scores(intervals, labels, scores, weights)

    def get_config(self):
        return {
            **super().get_config(),
            "num_thresholds": self.num_thresholds,
            "class_id": self.class_id,
        }


def _check_length(name, values, scores):
    """Raise rather than repeat one value for all; in a compiled step lengths may be unknown."""
    lengths = values.shape[0], scores.shape[0]
    if None not in lengths and lengths[0] != lengths[1]:
        raise ValueError(
            f"`{name}` must have a value for each of `y_pred`; got {lengths[0]} for {lengths[1]}."
        )


def _columns(values):
    return 1 if len(values.shape) == 1 else values.shape[-1]


def _is_traced(tensor):
    """Whether the numbers are not known yet, as the step is being compiled."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return not hasattr(tensor, "numpy")
    return backend == "jax" and isinstance(tensor, sys.modules["jax"].core.Tracer)


def _check_probabilities(name, values):
    # NaN stays NaN, as in every metric of Keras.
    wrong = values[(values < 0) | (values > 1)]
    if wrong.size:
        remedy = (
            "Labels are one-hot columns, or class numbers of 0 and 1."
            if name == "y_true"
            else "End the model in a softmax or sigmoid, or apply one to its logits; divide "
            "percentages by 100."
        )
        raise ValueError(f"`{name}` must hold values in [0, 1]; got {wrong[0]:g}. {remedy}")
