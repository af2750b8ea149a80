"""Differences between two detectors on the same images."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ReportComparison:
    """What `DetectionReport.compare` returns: paired differences, with intervals.

    `print(comparison)` shows it as a table.

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
    labels = rng.integers(0, 2, 200)
    good = np.clip(rng.normal(0.3 + 0.4 * labels, 0.2), 0, 1)
    poor = np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0, 1)
    first = kd.evaluation.detection_report(labels, good)
    comparison = first.compare(kd.evaluation.detection_report(labels, poor))
    low, high = comparison.intervals["auc"]  # above 0: the first is better
    ```
    """

    differences: dict
    intervals: dict
    p_values: dict

    def __str__(self):
        lines = [f"{'':<20}{'difference':>12}   95 % interval        p"]
        for name, difference in self.differences.items():
            low, high = self.intervals[name]
            lines.append(
                f"{name:<20}{difference:>+12.4f}   {low:+.4f} to {high:+.4f}   "
                f"{self.p_values[name]:.3f}"
            )
        return "\n".join(lines)
