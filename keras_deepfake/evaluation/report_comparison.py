"""Differences between two detectors on the same images."""

import dataclasses

from keras_deepfake._results import Result


@dataclasses.dataclass(frozen=True)
class ReportComparison(Result):
    """What `DetectionReport.compare` returns: paired differences, with intervals.

    `print(comparison)` shows it as a table. All is NaN where one report lacks the metric, as the
    precision of a class that its detector never called.

    Args:
        differences: Dictionary from each metric to the value of the first report less that of
            the second.
        intervals: Dictionary from each metric to the `(low, high)` of the 95 % percentile
            interval of its difference, over resamples that both reports share.
        p_values: Dictionary from each metric to the two-sided bootstrap p-value: twice the
            share of resamples whose difference is zero or of the other sign. It reads like the
            p-value of a paired test, and is about as good as the interval.

    Example:
    ```python
    rng = np.random.default_rng(0)
    is_fake = rng.integers(0, 2, 200)
    good = np.clip(rng.normal(0.3 + 0.4 * is_fake, 0.2), 0, 1)
    poor = np.clip(rng.normal(0.4 + 0.2 * is_fake, 0.2), 0, 1)
    first = kd.evaluation.detection_report(is_fake, good)
    comparison = first.compare(kd.evaluation.detection_report(is_fake, poor))
    low, high = comparison.intervals["auc"]  # above 0: the first is better
    ```
    """

    differences: dict
    intervals: dict
    p_values: dict

    def summary(self):
        """What the columns of the table are."""
        return (
            "The first less the second on the same images, with the 95 % interval and its p-value."
        )

    def figures(self):
        """The differences, their intervals and their p-values, each by metric."""
        return dataclasses.asdict(self)

    def table(self):
        """The figures with one row a metric."""
        return [
            ("metric", "difference", "low", "high", "p"),
            *(
                (name, difference, *self.intervals[name], self.p_values[name])
                for name, difference in self.differences.items()
            ),
        ]
