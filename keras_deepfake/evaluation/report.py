"""A detector's metrics with intervals, overall and per kind of forgery."""

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np

from keras_deepfake._arguments import check_entries, check_integer, check_number, check_seed
from keras_deepfake._conformal import check_bounds
from keras_deepfake._results import Result
from keras_deepfake._text import printable, text_table
from keras_deepfake.evaluation._detection_metrics import confusion_counts, detection_metrics
from keras_deepfake.evaluation.bootstrap import (
    percentile_interval,
    resampled_weights,
    smaller_class,
)
from keras_deepfake.evaluation.curves import check_truth_and_scores
from keras_deepfake.evaluation.report_comparison import compare_reports

# Title and meaning of every metric, in the order of the tables.
METRICS = {
    "auc": ("AUC", "chance that a fake scores above a real; 0.5 is guessing"),
    "average_precision": (
        "Average precision",
        "mean precision over all recalls; guessing gives the prevalence",
    ),
    "eer": ("Equal error rate", "share misjudged where it is the same for fakes and reals"),
    "tpr_at_fpr_1": ("TPR at 1 % FPR", "fakes found while at most 1 % of reals are called fake"),
    "tpr_at_fpr_5": ("TPR at 5 % FPR", "fakes found while at most 5 % of reals are called fake"),
    "balanced_accuracy": ("Balanced accuracy", "mean of the recalls of fake and of real"),
    "accuracy": ("Accuracy", "share of right verdicts; depends on the prevalence"),
    "precision_fake": ("Precision of fake", "of the images called fake, those that are"),
    "recall_fake": ("Recall of fake", "of the fakes, those called fake"),
    "precision_real": ("Precision of real", "of the images called real, those that are"),
    "recall_real": ("Recall of real", "of the reals, those called real"),
    "brier": ("Brier score", "mean squared error of the probability; lower is better"),
    "ece": ("Calibration error", "distance of probabilities from observed shares (ECE)"),
    "prevalence": ("Prevalence", "share of fakes among these images"),
    # Of a detector that abstains.
    "answered": ("Answered", "share of images on which the detector is not unsure"),
    "accuracy_answered": ("Accuracy of answers", "of the images answered, those answered right"),
    "coverage_fake": ("Coverage of fake", "of the fakes, those that may be fake by their set"),
    "coverage_real": ("Coverage of real", "of the reals, those that may be real by their set"),
}
# The prevalence is the choice of whoever collected the images. The calibration error cannot be
# negative, so noise only ever adds to it: resampling adds more, and percentiles do not cover.
NO_INTERVAL = ("ece", "prevalence")
# Of fewer groups of a class than this, no interval covers as it says.
FEW_GROUPS = 10
# The figures of every resample are kept, 100 bytes a resample and kind.
MOST_RESAMPLES = 100_000


class Mistake(NamedTuple):
    """An image on the wrong side of the threshold, as the model was given it."""

    image: np.ndarray
    is_fake: bool
    score: float
    name: str


def detection_report(
    is_fake,
    scores,
    groups=None,
    kinds=None,
    threshold=0.5,
    num_resamples=1000,
    seed=0,
    conformal_bounds=None,
):
    """Evaluate scores on labelled images: metrics, intervals, confusion matrix, kinds.

    The intervals are 95 % percentile intervals of a bootstrap over groups, widened for small
    numbers of groups as a t distribution is. Groups are drawn with replacement, each with all
    its images. Groups that hold only fakes, only reals, and both are drawn separately, as many
    as there are of each, so that every resample holds both classes. The numbers of fakes and
    reals of a test set are somebody's choice and not an observation; the intervals take them
    as given. The prevalence has no interval for this reason, and the expected calibration
    error has none because the bootstrap does not give a valid one.

    Args:
        is_fake: 1-D array of booleans, or of 1 for a fake image and 0 for a real one.
        scores: 1-D array of the same length, the probability of being fake, in [0, 1].
        groups: Group of each image, such as the person or the video it shows. Images of one
            group are not independent: without their groups the intervals are too narrow. By
            default every image is a group of its own.
        kinds: Kind of forgery of each image, as text. The kinds of reals are ignored, and a
            fake whose kind is `None` or `""` counts in the overall figures only.
        threshold: Float in [0, 1]; an image is called fake when its score is at least this.
            Choose it on validation images, never on those evaluated here.
        num_resamples: Integer from 1 to 100 000, number of bootstrap resamples; at least 1000
            for figures that are published.
        seed: Integer seed of the resamples.
        conformal_bounds: Those of a detector that abstains (see `kd.models.Detector`), for the
            metrics of its answers.

    Returns:
        A `DetectionReport`.

    Raises:
        ValueError: for empty arrays or arrays of different lengths, `is_fake` other than 0 and
            1, one class only, scores that are not finite or outside [0, 1], a missing group, a
            kind that is no text, and a threshold or bounds outside [0, 1].

    Example:
    ```python
    rng = np.random.default_rng(0)
    is_fake = rng.integers(0, 2, 200)
    scores = np.clip(rng.normal(0.3 + 0.4 * is_fake, 0.2), 0, 1)
    report = kd.evaluation.detection_report(is_fake, scores, threshold=0.5)
    print(report)
    low, high = report.intervals["auc"]
    ```

    Reference:
        [Field and Welsh, 2007](https://doi.org/10.1111/j.1467-9868.2007.00593.x) on
        bootstrapping groups; [Hesterberg, 2015](https://doi.org/10.1080/00031305.2015.1089789)
        on expanded percentile intervals
    """
    is_fake, scores = check_truth_and_scores(is_fake, scores)
    threshold = check_number("threshold", threshold, 0, 1)
    num_resamples = check_integer("num_resamples", num_resamples, 1, MOST_RESAMPLES)
    seed = check_seed(seed)
    conformal_bounds = check_bounds(conformal_bounds)
    group_numbers = _group_numbers(groups, len(is_fake))

    # Falling scores, which the metrics need.
    order = np.argsort(-scores, kind="stable")
    falling = is_fake[order], scores[order]
    fakes_of = {"": is_fake, **_forgeries(kinds, is_fake)}
    # All images, and the fakes of each kind among all reals.
    parts = {
        kind: (fakes | ~is_fake)[order] if kind else slice(None) for kind, fakes in fakes_of.items()
    }
    measured = {kind: [] for kind in parts}
    ones = np.ones((1, len(is_fake)))
    resampled = resampled_weights(group_numbers[order], falling[0], num_resamples, seed)
    for weights in itertools.chain([ones], resampled):
        for kind, part in parts.items():
            arrays = [values[..., part] for values in (*falling, weights)]
            measured[kind].append(detection_metrics(*arrays, threshold, conformal_bounds))

    metrics, intervals, resamples = {}, {}, {}
    for kind, fakes in fakes_of.items():
        blocks = measured[kind]
        values = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
        metrics[kind] = {name: float(value[0]) for name, value in values.items()}
        resamples[kind] = {name: value[1:] for name, value in values.items()}
        num_groups = smaller_class(group_numbers, fakes, ~is_fake)
        intervals[kind] = {
            name: percentile_interval(resamples[kind][name], num_groups)
            for name in values
            if name not in NO_INTERVAL
        }
    confusion_matrix = np.reshape(confusion_counts(is_fake, scores, ones[0], threshold), (2, 2))
    return DetectionReport(
        metrics=metrics[""],
        intervals=intervals[""],
        confusion_matrix=confusion_matrix.astype(int),
        by_kind={
            kind: {"n": int(fakes.sum()), **metrics[kind], "intervals": intervals[kind]}
            for kind, fakes in fakes_of.items()
            if kind
        },
        threshold=threshold,
        threshold_source="stated by the caller",
        num_images=len(is_fake),
        num_groups=int(group_numbers.max()) + 1,
        num_resamples=num_resamples,
        seed=seed,
        notes=_notes(is_fake, group_numbers, groups is None, intervals[""]),
        is_fake=is_fake,
        scores=scores,
        group_numbers=group_numbers,
        resamples=resamples[""],
        conformal_bounds=conformal_bounds,
    )


def _group_numbers(groups, count):
    if groups is None:
        return np.arange(count)
    groups = check_entries("groups", groups, count)
    missing = [place for place, group in enumerate(groups) if group is None or group != group]
    if missing:
        raise ValueError(
            f"`groups` must name the group of every image; {len(missing)} are missing, the "
            f"first at position {missing[0]}."
        )
    numbers = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups])


def _forgeries(kinds, is_fake):
    """Which images are fakes of each kind."""
    if kinds is None:
        return {}
    kinds = check_entries("kinds", kinds, len(is_fake))
    for place, kind in enumerate(kinds):
        if not isinstance(kind, (str, type(None))):
            raise ValueError(
                f"`kinds` must hold texts, or `None` where there is none; got {kind!r} at position "
                f"{place}."
            )
    kinds = np.array([kind or "" for kind in kinds])
    return {str(kind): is_fake & (kinds == kind) for kind in np.unique(kinds[is_fake]) if kind}


def _notes(is_fake, group_numbers, ungrouped, intervals):
    notes = []
    if ungrouped:
        notes.append(
            "No groups were given, so the intervals take all images as independent. They are "
            "too narrow if several images show one person or come from one video."
        )
    unit = "image" if ungrouped else "group"
    for name, images in (("fakes", is_fake), ("reals", ~is_fake)):
        count = len(np.unique(group_numbers[images]))
        if count == 1:
            notes.append(f"All {name} are one {unit}: no interval can be given.")
        elif count < FEW_GROUPS:
            notes.append(f"The {name} are only {count} {unit}s: the intervals are rough.")
    num_reals = np.sum(~is_fake)
    if num_reals < 100:
        notes.append(
            f"Of {num_reals} reals, at most 1 % called fake means none: the TPR at 1 % FPR hangs "
            "on the highest scored real."
        )
    if any(low == high for low, high in intervals.values()):
        notes.append(
            "An interval of no width means that the metric was the same in every resample, as "
            "when no image was misjudged; it does not mean that the metric is known exactly."
        )
    if intervals["auc"][1] < 0.5:
        notes.append(
            "Reals score above fakes. Is the score the probability of being fake, and `is_fake` "
            "1 for fakes?"
        )
    return tuple(notes)


@dataclasses.dataclass(frozen=True, eq=False)
class DetectionReport(Result):
    """What `detection_report` and `evaluate_detector` return.

    `print(report)` shows it as text, `save` writes a page, JSON or CSV.

    Args:
        metrics: Dictionary of floats: `auc`, `average_precision`, `eer`, `tpr_at_fpr_1`,
            `tpr_at_fpr_5`, `balanced_accuracy`, `accuracy`, `precision_fake`, `recall_fake`,
            `precision_real`, `recall_real`, `brier`, `ece`, `prevalence`. The true-positive
            rates are those of the best threshold with a false-positive rate of at most 1 % and
            5 %, without interpolation; the equal error rate is that of the linearly
            interpolated ROC curve; `ece` has 15 equal-mass bins. A precision is NaN when no
            image is called so. Of a detector that abstains also `answered`,
            `accuracy_answered`, `coverage_fake` and `coverage_real`.
        intervals: Dictionary of `(low, high)`, 95 %, for all metrics but `ece` and
            `prevalence`; NaN when a class has a single group. Resamples in which a metric is
            not defined are left out of its interval.
        confusion_matrix: 2×2 array of numbers of images: rows are the truth, columns the
            verdict, both in the order fake, real.
        by_kind: Dictionary from each kind of forgery to a dictionary of the metrics of its
            fakes among all reals, the number `n` of these fakes, and the `intervals`.
        threshold: Float; an image is called fake when its score is at least this.
        threshold_source: Text that says where the threshold comes from.
        num_images: Number of images.
        num_groups: Number of groups; without groups, of images.
        num_resamples: Number of bootstrap resamples.
        seed: Seed of the resamples.
        notes: Tuple of texts, what a reader of the figures should know.
        is_fake: Boolean array, true for a fake, as evaluated.
        scores: Array of the probabilities of being fake, as evaluated.
        group_numbers: Array, the number of the group of each image.
        resamples: Dictionary from each metric to its values in the resamples.
        mistakes: Tuple of the most confident mistakes, where the images were at hand.
        conformal_bounds: Those of a detector that abstains, or `None`.

    Example:
    ```python
    report = kd.evaluation.detection_report([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1])
    report.metrics["auc"]  # 0.75
    report.confusion_matrix  # [[1, 1], [1, 1]]
    report.save("report.html", sections=[("Training", "10 epochs on synthetic faces.")])
    ```
    """

    metrics: dict
    intervals: dict
    confusion_matrix: np.ndarray
    by_kind: dict
    threshold: float
    threshold_source: str
    num_images: int
    num_groups: int
    num_resamples: int
    seed: int
    notes: tuple
    is_fake: np.ndarray = dataclasses.field(repr=False)
    scores: np.ndarray = dataclasses.field(repr=False)
    group_numbers: np.ndarray = dataclasses.field(repr=False)
    resamples: dict = dataclasses.field(repr=False)
    mistakes: tuple = dataclasses.field(repr=False, default=())
    conformal_bounds: tuple | None = None

    def compare(self, other):
        """Compare two detectors on the same images, resample by resample.

        Args:
            other: The `DetectionReport` of another detector on the same images in the same
                order, with the same groups, seed and number of resamples.

        Returns:
            A `ReportComparison`, which holds for each metric the value of this report less that
            of the other, with its interval.

        Raises:
            ValueError: when `other` is no report, or not on the same images, groups and resamples.
        """
        if not isinstance(other, DetectionReport):
            raise ValueError(f"`other` must be a `DetectionReport`; got {type(other).__name__}.")
        return compare_reports(self, other)

    def figures(self):
        """The figures without the images; `by_kind` holds those of each kind of forgery."""
        of_images = ("is_fake", "scores", "group_numbers", "resamples", "mistakes")
        figures = {name: value for name, value in vars(self).items() if name not in of_images}
        return {**figures, "confusion_matrix": self.confusion_matrix.tolist()}

    def table(self):
        """Metrics with their intervals, a row each; the rows without a kind are those overall."""
        rows = [("kind", "metric", "value", "low", "high")]
        overall = {**self.metrics, "intervals": self.intervals}
        for kind, figures in {"": overall, **self.by_kind}.items():
            for name in self.metrics:
                low, high = figures["intervals"].get(name, (None, None))
                rows.append((kind, name, figures[name], low, high))
        return rows

    def kind_table(self):
        """The rows of the table of kinds of forgery, as it is printed."""
        rows = [("Kind", "Fakes", "AUC", "95 % interval", "Recall", "95 % interval")]
        for kind, figures in self.by_kind.items():
            row = [kind, figures["n"]]
            for name in ("auc", "recall_fake"):
                row += [figures[name], figures["intervals"][name]]
            rows.append(row)
        return rows

    def summary(self):
        """What was evaluated, and where the threshold comes from."""
        fakes = int(self.is_fake.sum())
        groups = "" if self.num_groups == self.num_images else f", in {self.num_groups} groups"
        text = (
            f"{self.num_images} images, {fakes} fake and {self.num_images - fakes} real{groups}. "
            f"An image is called fake when its probability is at least {self.threshold:g} "
            f"({printable(self.threshold_source)})."
        )
        if self.conformal_bounds is not None:
            low, high = sorted(self.conformal_bounds)
            text += f" The detector is unsure between probabilities of {low:.6g} and {high:.6g}."
        return text

    def __str__(self):
        metrics = [("", "value", "95 % interval")]
        for name, value in self.metrics.items():
            metrics.append((METRICS[name][0], value, self.intervals.get(name)))
        (hits, misses), (false_alarms, passes) = self.confusion_matrix.tolist()
        verdicts = [
            ("", "called fake", "called real"),
            ("fake", hits, misses),
            ("real", false_alarms, passes),
        ]
        tables = [metrics, verdicts] + ([self.kind_table()] if self.by_kind else [])
        parts = [f"Detection report\n{self.summary()}", *map(text_table, tables)]
        if self.notes:
            parts.append("\n".join(f"Note: {note}" for note in self.notes))
        return "\n\n".join(parts)
