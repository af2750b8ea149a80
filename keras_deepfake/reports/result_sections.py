"""What a page shows of each kind of result."""

from keras_deepfake import visualization as draw
from keras_deepfake.evaluation.report import METRICS
from keras_deepfake.reports.html_page import check_sections, make_page

# Files of a finding that a page names.
MAX_NAMES = 10


def sections(result):
    """Return what a page shows of a result: texts, pictures and tables.

    `result.save("page.html")` writes these to a page of their own; here they are for another.

    Args:
        result: `DetectionReport`, `ReportComparison`, `DatasetAudit`, `RobustnessReport`,
            `HeldOutKindReport`, `Predictions`, `SearchResults`, or another subclass of the same
            base.

    Returns:
        List of sections `(heading, content, content, ...)`, as `save_html` takes them.

    Raises:
        ValueError: for anything else.

    Example:
    ```python
    report = kd.evaluation.detection_report([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1])
    other = kd.evaluation.detection_report([1, 1, 0, 0], [0.8, 0.5, 0.2, 0.3])
    report.save("report.html", sections=kd.reports.sections(report.compare(other)))
    ```
    """
    for kind in type(result).__mro__:
        if kind.__name__ in _MAKERS:
            return list(_MAKERS[kind.__name__](result))
    raise ValueError(
        "`result` must be a result of this library, such as a `DetectionReport`; got "
        f"{type(result).__name__}."
    )


def make_result_page(result, more=()):
    """Return the page of a result, with more sections at its end."""
    (title, *contents), *others = sections(result)
    return make_page(title, [("", *contents), *others, *check_sections(more)])


def _result(result):
    yield ("Result", result.summary(), result.table())


def _detection_report(report):
    is_fake, scores = report.is_fake, report.scores
    tiles = ("auc", "eer", "balanced_accuracy", "recall_fake", "recall_real")
    yield (
        "Detection report",
        report.summary(),
        {METRICS[name][0]: report.metrics[name] for name in tiles},
        *report.notes,
    )
    yield (
        "Metrics",
        [("Metric", "Value", "95 % interval", "Meaning")]
        + [
            (METRICS[name][0], value, report.intervals.get(name), METRICS[name][1])
            for name, value in report.metrics.items()
        ],
        f"Accuracies, precisions and recalls are those at the threshold {report.threshold:g}. "
        f"Intervals: {report.num_resamples} bootstrap resamples, seed {report.seed}.",
    )
    yield (
        "Verdicts",
        draw.plot_confusion_matrix(report.confusion_matrix),
        "Numbers of images: the truth in rows, the verdict in columns.",
        draw.plot_score_histogram(is_fake, scores, threshold=report.threshold),
        "Probability of being fake. Images to the right of the threshold are called fake.",
    )
    yield (
        "Curves",
        draw.plot_roc(is_fake, scores),
        "Fakes found against reals called fake, at every threshold.",
        draw.plot_precision_recall(is_fake, scores),
        "What a verdict of fake is worth, against the share of fakes found. Depends on the "
        "prevalence.",
        draw.plot_reliability(is_fake, scores),
        "Share of fakes among images of like probability. On the diagonal, probabilities can be "
        "taken at their word.",
    )
    if report.by_kind:
        yield ("Kinds of forgery", report.kind_table(), "Fakes of each kind among all reals.")
    for heading, of_fakes in (("Reals called fake", False), ("Fakes called real", True)):
        mistakes = [mistake for mistake in report.mistakes if mistake.is_fake == of_fakes]
        if mistakes:
            titles = [f"P(fake) {mistake.score:.2f}" for mistake in mistakes]
            yield (
                heading,
                draw.plot_images([mistake.image for mistake in mistakes], titles=titles),
                "The most confident of these mistakes, as the model was given them.",
                [("Image", "P(fake)"), *((m.name, m.score) for m in mistakes)],
            )


def _report_comparison(comparison):
    rows = [("Metric", "Difference", "95 % interval", "p")]
    for name, difference in comparison.differences.items():
        interval = comparison.intervals[name]
        rows.append((METRICS[name][0], difference, interval, comparison.p_values[name]))
    yield ("Comparison", comparison.summary(), rows)


def _dataset_audit(audit):
    contents = [audit.summary()]
    if audit.findings:
        rows = [("Severity", "Kind", "Finding", "Files")]
        for finding in audit.findings:
            kind = finding.kind.replace("_", " ")
            names = ", ".join(finding.first_names(MAX_NAMES))
            rows.append((finding.severity, kind, finding.message, names))
        contents.append(rows)
    if audit.shortcuts:
        contents.append(audit.shortcut_table())
    yield ("Dataset audit", *contents)


def _robustness_report(report):
    yield ("Robustness", report.summary(), draw.plot_robustness(report), report.table())


def _held_out_kind_report(report):
    yield (
        "Kinds held out",
        report.summary(),
        report.kind_table(),
        "Known: the figures of the same detector on the kinds that it was trained on. Recalls are "
        "those at its threshold.",
    )


def _predictions(predictions):
    yield ("Predictions", predictions.summary(), predictions.table())


def _search_results(results):
    pictures = []
    if any(row["score"] is not None for row in results.rows):
        pictures.append(draw.plot_search(results))
    yield ("Hyperparameter search", results.summary(), *pictures, results.table())


# By name: the page of one result needs not the packages that make the others, such as KerasTuner.
_MAKERS = {
    "DatasetAudit": _dataset_audit,
    "DetectionReport": _detection_report,
    "HeldOutKindReport": _held_out_kind_report,
    "Predictions": _predictions,
    "ReportComparison": _report_comparison,
    "Result": _result,
    "RobustnessReport": _robustness_report,
    "SearchResults": _search_results,
}
