import re

import numpy as np
import pytest
from matplotlib.figure import Figure

import keras_deepfake as kd
from keras_deepfake._results import Result

NAME = "a\udcff\n<b>$x$"
SHOWN = "a\\udcff\\n&lt;b&gt;$x$"


def detection_report():
    rng = np.random.default_rng(0)
    is_fake = rng.random(80) < 0.5
    scores = np.clip(rng.normal(0.3 + 0.4 * is_fake, 0.2), 0, 1)
    return kd.evaluation.detection_report(
        is_fake, scores, kinds=np.where(is_fake, NAME, ""), num_resamples=20
    )


def report_comparison():
    return detection_report().compare(detection_report())


def dataset_audit():
    finding = kd.audit.Finding("near_duplicate", "error", "2 files", (NAME, "b"), ((NAME, "b"),))
    shortcuts = {"file_size": {"auc": 0.5, "low": 0.4, "high": 0.6}}
    return kd.audit.DatasetAudit((finding,), {"data": {NAME: 1, "real": 1}}, shortcuts)


def robustness_report():
    clean = kd.evaluation.RobustnessRow("clean", None, 0.92, 0.85, 0.83)
    rows = (clean, clean._replace(corruption="jpeg", level=50))
    return kd.evaluation.RobustnessReport(rows, threshold=0.5, num_fake=4, num_real=4, seed=0)


def held_out_kind_report():
    figures = {"n": 9, "auc": 0.7, "recall_fake": 0.4, "intervals": {"auc": (0.5, 0.8)}}
    row = kd.evaluation.HeldOutKindRow(NAME, figures, figures)
    return kd.evaluation.HeldOutKindReport((row,), num_real=39, test_fraction=0.3, seed=0)


def predictions():
    rows = [
        kd.evaluation.Prediction(NAME, np.array([0.9, 0.1]), "fake", None),
        kd.evaluation.Prediction("b", None, None, "damaged"),
    ]
    return kd.evaluation.Predictions(rows, ("fake", "real"), threshold=0.5)


class Tally(Result):
    def summary(self):
        return "Two names."

    def table(self):
        return [("name", "count"), (NAME, 2)]


@pytest.mark.parametrize(
    ("make", "title", "tables", "pictures"),
    [
        (detection_report, "Detection report", 2, 5),
        (report_comparison, "Comparison", 1, 0),
        (dataset_audit, "Dataset audit", 2, 0),
        (robustness_report, "Robustness", 1, 1),
        (held_out_kind_report, "Kinds held out", 1, 0),
        (predictions, "Predictions", 1, 0),
        (Tally, "Result", 1, 0),
    ],
)
def test_every_result_has_a_page_and_sections_for_another(make, title, tables, pictures, tmp_path):
    result = make()
    result.save(tmp_path / "own.html")
    page = (tmp_path / "own.html").read_text(encoding="utf-8")
    assert f"<h1>{title}</h1>" in page
    assert f"<h2>{title}</h2>" not in page
    assert page == result.to_html()

    sections = kd.reports.sections(result)
    assert sections[0][0] == title
    assert sum(isinstance(c, Figure) for _, *contents in sections for c in contents) == pictures
    kd.reports.save_html(tmp_path / "other.html", "Other", sections)
    other = (tmp_path / "other.html").read_text(encoding="utf-8")
    assert f"<h2>{title}</h2>" in other
    for text in (page, other):
        assert text.count("<table>") == tables
        assert text.count("<img ") == pictures
        assert not re.search("<b>|\n<script", text)
    if make not in (report_comparison, robustness_report):
        assert SHOWN in page
        assert "a\\udcff\\n<b>$x$" in str(result)


def test_a_result_of_ones_own_kind_counts_as_its_base():
    class MyReport(kd.audit.DatasetAudit):
        pass

    audit = dataset_audit()
    mine = MyReport(audit.findings, audit.splits, audit.shortcuts)
    assert kd.reports.sections(mine)[0][0] == "Dataset audit"


@pytest.mark.parametrize("wrong", [None, 3, "report", {"auc": 0.5}, Tally])
def test_what_is_no_result_is_refused(wrong):
    with pytest.raises(ValueError, match="`result` must be a result of this library"):
        kd.reports.sections(wrong)
