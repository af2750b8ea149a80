"""Differences between two detectors on the same images."""

import dataclasses

import numpy as np

from keras_deepfake._results import Result
from keras_deepfake.evaluation.bootstrap import percentile_interval, smaller_class


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


def compare_reports(first, second):
    """Compare two reports as `DetectionReport.compare` does."""
    for name, mine, theirs in (
        ("is_fake", first.is_fake, second.is_fake),
        ("groups", first.group_numbers, second.group_numbers),
    ):
        if not np.array_equal(mine, theirs):
            raise ValueError(
                "`other` must be a report on the same images in the same order and groups; "
                f"its {name} differ ({len(mine)} images here, {len(theirs)} there)."
            )
    for name in ("seed", "num_resamples"):
        mine, theirs = getattr(first, name), getattr(second, name)
        if mine != theirs:
            raise ValueError(
                f"`other` must be a report with the same `{name}`, so that both hold the "
                f"same resamples; got {theirs}, and {mine} here."
            )
    num_groups = smaller_class(first.group_numbers, first.is_fake, ~first.is_fake)
    differences, intervals, p_values = {}, {}, {}
    # Only a detector that abstains has all metrics.
    for name in (name for name in first.intervals if name in second.intervals):
        differences[name] = first.metrics[name] - second.metrics[name]
        resampled = first.resamples[name] - second.resamples[name]
        resampled = resampled[~np.isnan(resampled)]
        if np.isnan(differences[name]) or len(resampled) == 0:
            intervals[name], p_values[name] = (np.nan, np.nan), np.nan
            continue
        intervals[name] = percentile_interval(resampled, num_groups)
        tail = min(np.sum(resampled <= 0), np.sum(resampled >= 0))
        p_values[name] = float(min(1, 2 * (tail + 1) / (len(resampled) + 1)))
    return ReportComparison(differences, intervals, p_values)
