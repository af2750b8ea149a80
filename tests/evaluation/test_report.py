import csv
import dataclasses
import json
import tracemalloc

import keras
import numpy as np
import pytest
from sklearn import metrics

import keras_deepfake as kd
from keras_deepfake.evaluation._detection_metrics import detection_metrics
from keras_deepfake.evaluation.curves import reliability_curve
from keras_deepfake.evaluation.report import Mistake

detection_report = kd.evaluation.detection_report


def arrays(seed, size=300, decimals=16):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(size) < size // 3).astype(int)
    return labels, np.round(1 / (1 + np.exp(-rng.normal(labels - 0.5))), decimals)


def equal_error_rate(labels, scores):
    """Equal error rate by bisection along the interpolated ROC curve."""
    fpr, tpr, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    low, high = 0.0, 2.0  # the sum of both rates rises along the curve
    for _ in range(100):
        middle = (low + high) / 2
        rates = np.interp(middle, fpr + tpr, fpr) + np.interp(middle, fpr + tpr, tpr)
        low, high = (middle, high) if rates < 1 else (low, middle)
    return np.interp(low, fpr + tpr, fpr)


@pytest.mark.parametrize("decimals", [16, 2, 1, 0])
@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_metrics_are_those_of_scikit_learn(decimals, threshold):
    labels, scores = arrays(decimals, decimals=decimals)
    verdicts = (scores >= threshold).astype(int)
    fpr, tpr, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    mean_score, fraction_fake, count = reliability_curve(labels, scores)
    expected = {
        "auc": metrics.roc_auc_score(labels, scores),
        "average_precision": metrics.average_precision_score(labels, scores),
        "eer": equal_error_rate(labels, scores),
        "tpr_at_fpr_1": tpr[fpr <= 0.01].max(),
        "tpr_at_fpr_5": tpr[fpr <= 0.05].max(),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, verdicts),
        "accuracy": metrics.accuracy_score(labels, verdicts),
        "precision_fake": metrics.precision_score(labels, verdicts),
        "recall_fake": metrics.recall_score(labels, verdicts),
        "precision_real": metrics.precision_score(labels, verdicts, pos_label=0),
        "recall_real": metrics.recall_score(labels, verdicts, pos_label=0),
        "brier": metrics.brier_score_loss(labels, scores),
        "ece": np.sum(np.abs(mean_score - fraction_fake) * count) / len(labels),
        "prevalence": np.mean(labels),
    }
    report = detection_report(labels, scores, threshold=threshold, num_resamples=5)
    assert list(report.metrics) == list(expected)
    for name, value in expected.items():
        assert report.metrics[name] == pytest.approx(value, abs=1e-9), name
    np.testing.assert_array_equal(
        report.confusion_matrix, metrics.confusion_matrix(labels, verdicts, labels=[1, 0])
    )


def test_resamples_are_reports_on_the_drawn_images():
    """The weighted computation equals repeating the images."""
    labels, scores = arrays(7, size=60, decimals=1)
    weights = np.random.default_rng(0).integers(0, 4, (3, 60))
    order = np.argsort(-scores)
    values = detection_metrics(
        labels[order] == 1, scores[order], weights[:, order].astype(float), 0.5
    )
    for row, weight in enumerate(weights):
        repeated = detection_report(
            np.repeat(labels, weight), np.repeat(scores, weight), num_resamples=1
        )
        for name, value in repeated.metrics.items():
            assert values[name][row] == pytest.approx(value, abs=1e-9), name


def test_counts_and_kinds():
    labels, scores = arrays(8, decimals=2)
    rng = np.random.default_rng(8)
    kinds = np.where(labels == 1, rng.choice(["swap", "gan", ""], 300), "camera").astype(object)
    kinds[np.flatnonzero(labels)[0]] = None
    groups = [f"person {i}" for i in rng.integers(0, 40, 300)]
    report = detection_report(labels, scores, groups=groups, kinds=kinds, num_resamples=50)
    assert (report.num_images, report.num_groups) == (300, len(set(groups)))
    assert list(report.by_kind) == ["gan", "swap"]
    for kind, figures in report.by_kind.items():
        part = (labels == 0) | (kinds == kind)
        assert figures["n"] == np.sum(kinds == kind)
        expected = metrics.roc_auc_score(labels[part], scores[part])
        assert figures["auc"] == pytest.approx(expected, abs=1e-9)
        assert figures["recall_fake"] == pytest.approx(np.mean(scores[kinds == kind] >= 0.5))
        low, high = figures["intervals"]["auc"]
        assert low < figures["auc"] < high


def auc_intervals(seed, groups, same_person):
    """Repeated draws of 30 people of 6 images; the true AUC is 0.802."""
    rng = np.random.default_rng(seed)
    covered = 0
    for _ in range(100):
        person = np.repeat(np.arange(30), 6)
        labels = person % 2
        noise = same_person * rng.normal(size=30)[person]
        noise = noise + np.sqrt(1 - same_person**2) * rng.normal(size=180)
        scores = 1 / (1 + np.exp(-1.2 * labels - noise))
        report = detection_report(
            labels, scores, groups=person if groups else None, num_resamples=150
        )
        low, high = report.intervals["auc"]
        covered += low <= 0.80193 <= high
    return covered / 100


def test_intervals_cover():
    assert 0.90 <= auc_intervals(1, groups=False, same_person=0.0) <= 1
    assert 0.89 <= auc_intervals(2, groups=True, same_person=0.7) <= 1
    # What ignoring the groups costs.
    assert auc_intervals(2, groups=False, same_person=0.7) < 0.85


def test_no_resample_lacks_a_class():
    labels = np.array([1] + [0] * 30)
    scores = np.linspace(1, 0, 31)
    report = detection_report(labels, scores, num_resamples=500)
    assert np.isfinite(report.resamples["auc"]).all()
    assert np.isnan(report.intervals["auc"]).all()
    assert any("All fakes are one image" in note for note in report.notes)
    groups = ["a"] * 15 + ["b"] * 16
    report = detection_report(labels, scores, groups=groups, num_resamples=500)
    assert np.isfinite(report.resamples["auc"]).all()


def test_seed_decides_the_resamples():
    labels, scores = arrays(9)
    first, second, third = (
        detection_report(labels, scores, num_resamples=50, seed=seed) for seed in (3, 3, 4)
    )
    assert first.intervals == second.intervals
    assert first.intervals != third.intervals


def test_a_detector_that_abstains():
    labels, scores = arrays(12, decimals=2)
    kinds = np.where(labels == 1, np.where(np.arange(300) % 2, "swap", "gan"), "")
    bounds = (0.35, 0.6)
    report = detection_report(labels, scores, None, kinds, 0.5, 200, conformal_bounds=bounds)
    plain = detection_report(labels, scores, None, kinds, 0.5, 200)
    may_be_fake, may_be_real = scores >= 0.35, scores <= 0.6
    answered = may_be_fake != may_be_real
    expected = {
        "answered": np.mean(answered),
        "accuracy_answered": np.mean((may_be_fake == labels)[answered]),
        "coverage_fake": np.mean(may_be_fake[labels == 1]),
        "coverage_real": np.mean(may_be_real[labels == 0]),
    }
    assert list(report.metrics) == [*plain.metrics, *expected]
    for name, value in expected.items():
        assert report.metrics[name] == pytest.approx(value, abs=1e-9)
        low, high = report.intervals[name]
        assert low < value < high
    assert report.by_kind["swap"]["coverage_fake"] == pytest.approx(
        np.mean(may_be_fake[kinds == "swap"])
    )
    assert {name: report.metrics[name] for name in plain.metrics} == plain.metrics
    assert list(report.compare(plain).differences) == list(plain.intervals)
    assert report.compare(report).intervals["answered"] == (0, 0)
    text = str(report)
    assert "unsure between probabilities of 0.35 and 0.6." in text
    assert f"Answered             {expected['answered']:.3f}" in text
    assert ("", "coverage_real", report.metrics["coverage_real"]) in [
        row[:3] for row in report.table()
    ]
    assert json.loads(report.to_json())["conformal_bounds"] == [0.35, 0.6]
    assert "Coverage of fake</td>" in report.to_html()
    assert "Coverage" not in plain.to_html()


def test_nothing_answered():
    report = detection_report([1, 1, 0, 0], [0.6, 0.5, 0.5, 0.4], conformal_bounds=(0, 1))
    assert report.metrics["answered"] == 0
    assert np.isnan(report.metrics["accuracy_answered"])
    assert report.metrics["coverage_fake"] == report.metrics["coverage_real"] == 1


def test_compare_is_paired():
    labels, scores = arrays(10)
    slightly_worse = np.where((labels == 1) & (scores > 0.5), scores * 0.97, scores)
    better = detection_report(labels, scores, num_resamples=300)
    worse = detection_report(labels, slightly_worse, num_resamples=300)
    comparison = better.compare(worse)
    low, high = comparison.intervals["auc"]
    assert comparison.differences["auc"] == better.metrics["auc"] - worse.metrics["auc"]
    assert 0 < low <= comparison.differences["auc"] <= high
    assert comparison.p_values["auc"] < 0.05
    # The difference is known far better than either value.
    assert high - low < 0.2 * np.subtract(*reversed(better.intervals["auc"]))
    same = better.compare(better)
    assert same.intervals["auc"] == (0, 0)
    assert same.p_values["auc"] == 1
    assert "auc" in str(comparison)


def test_compare_refuses_other_images_groups_and_resamples():
    labels, scores = arrays(11)
    report = detection_report(labels, scores, num_resamples=20)
    for other, message in (
        (detection_report(labels[::-1], scores, num_resamples=20), "is_fake differ"),
        (detection_report(labels[1:], scores[1:], num_resamples=20), "299 there"),
        (detection_report(labels, scores, np.arange(300) // 3, num_resamples=20), "groups differ"),
        (detection_report(labels, scores, num_resamples=20, seed=1), "same `seed`"),
        (detection_report(labels, scores, num_resamples=30), "same `num_resamples`"),
    ):
        with pytest.raises(ValueError, match=message):
            report.compare(other)


def test_compare_refuses_what_is_no_report():
    report = detection_report([1, 0], [0.9, 0.1], num_resamples=1)
    with pytest.raises(ValueError, match="`other` must be a `DetectionReport`; got dict"):
        report.compare(report.metrics)


def test_a_metric_that_one_report_lacks_is_not_compared(tmp_path):
    is_fake, scores = arrays(15)
    first = detection_report(is_fake, scores, num_resamples=50)
    never_fake = detection_report(is_fake, scores / 2, num_resamples=50)
    comparison = first.compare(never_fake)
    assert np.isnan(comparison.differences["precision_fake"])
    assert np.isnan(comparison.intervals["precision_fake"]).all()
    assert np.isnan(comparison.p_values["precision_fake"])
    (line,) = [line for line in str(comparison).splitlines() if "precision_fake" in line]
    assert line.split() == ["precision_fake", "n/a", "n/a", "n/a", "n/a"]
    assert comparison.p_values["recall_real"] < 0.05
    assert json.loads(comparison.to_json())["p_values"]["precision_fake"] is None
    comparison.save(tmp_path / "comparison.html")
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert 'Precision of fake</td><td class="number">n/a' in page


def test_resamples_without_the_metric_do_not_count_for_a_difference():
    # In the rare resample that lacks the one image that is called fake, none is.
    place = np.arange(40)
    is_fake = place < 20
    first = detection_report(is_fake, np.where(place == 0, 0.9, 0.1), num_resamples=400)
    assert np.isnan(first.resamples["precision_fake"]).any()
    # Where both are defined, the first has a precision of 1, the other hardly ever.
    worse = detection_report(is_fake, np.where(place % 20 < 9, 0.9, 0.1), num_resamples=400)
    assert first.compare(worse).p_values["precision_fake"] < 0.05


def test_memory_does_not_grow_with_images_times_resamples():
    is_fake, scores = arrays(16, size=2000)
    tracemalloc.start()
    detection_report(is_fake, scores, num_resamples=4000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30e6


@pytest.mark.parametrize("convert", [list, keras.ops.convert_to_tensor, np.asarray])
def test_booleans_and_arrays_of_any_backend(convert):
    expected = detection_report([1, 0, 1, 0], [0.9, 0.2, 0.4, 0.6], num_resamples=5)
    report = detection_report(
        convert([True, False, True, False]), convert([0.9, 0.2, 0.4, 0.6]), num_resamples=5
    )
    assert report.is_fake.dtype == bool
    assert report.metrics["auc"] == expected.metrics["auc"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"is_fake": [1, 1, 1]}, "all 3 images are fake"),
        ({"is_fake": [0, 1, 2]}, "got 2 at position 2"),
        ({"scores": [0.1, np.nan, 0.2]}, "finite"),
        ({"scores": [0.1, 0.2]}, "got 3 and 2"),
        ({"scores": [0.1, -4.0, 0.2]}, "probabilities"),
        ({"groups": ["a", "b"]}, "`groups` must have one entry for each image; got 2 for 3"),
        ({"groups": ["a", None, "b"]}, "`groups` must name the group of every image; 1 are"),
        ({"kinds": ["a"]}, "`kinds` must have one entry for each image; got 1 for 3"),
        ({"threshold": 1.5}, "`threshold` must be a finite number of at least 0 and of at most 1"),
        ({"threshold": float("nan")}, "`threshold` must be .* got nan"),
        ({"threshold": "0.5"}, "`threshold` must be .* got '0.5'"),
        ({"num_resamples": 0}, "`num_resamples` must be an integer from 1 to 100000; got 0"),
        ({"num_resamples": 10**9}, "`num_resamples` must be"),
        ({"num_resamples": 1.5}, "`num_resamples` must be"),
        ({"seed": -1}, "`seed` must be"),
        ({"seed": None}, "`seed` must be"),
        ({"is_fake": ["fake", "real", "fake"]}, "`is_fake` must be an array of numbers"),
        ({"is_fake": None}, "`is_fake` must be"),
        ({"is_fake": [[1], [1, 0], [0]]}, "`is_fake` must be an array"),
        ({"is_fake": 1}, "`is_fake` must have one dimension"),
        ({"scores": "abc"}, "`scores` must be an array of numbers"),
        ({"groups": "abc"}, "`groups` must be a list or array"),
        ({"groups": 3}, "`groups` must be a list or array"),
        ({"groups": np.array("abc")}, "`groups` must be a list or array"),
        ({"groups": {"a", "b", "c"}}, "`groups` must be a list or array"),
        ({"groups": {"a": 1, "b": 2, "c": 3}}, "`groups` must be a list or array"),
        ({"groups": [["a"], ["b"], ["c"]]}, "`groups` must hold .* got a list at position 0"),
        ({"groups": ["a", float("nan"), "b"]}, "1 are missing, the first at position 1"),
        ({"kinds": 3}, "`kinds` must be a list or array"),
        ({"kinds": ["a", float("nan"), None]}, "`kinds` must hold texts.* got nan at position 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        detection_report(**{"is_fake": [0, 1, 1], "scores": [0.1, 0.7, 0.3], **arguments})


def test_undefined_precision_is_nan_and_json_is_strict():
    report = detection_report([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], num_resamples=20, threshold=0.9)
    assert np.isnan(report.metrics["precision_fake"])
    assert np.isnan(report.intervals["precision_fake"]).all()

    def refuse(constant):
        raise AssertionError(constant)

    figures = json.loads(report.to_json(), parse_constant=refuse)
    assert figures["metrics"]["precision_fake"] is None
    assert figures["metrics"]["auc"] == 1
    assert figures["confusion_matrix"] == [[0, 2], [0, 2]]


def test_table_is_saved_as_csv(tmp_path):
    is_fake, scores = arrays(17)
    # A file name, and so a kind, may be no text in any encoding.
    kinds = np.where(is_fake, "=swap\udcff\n", "")
    report = detection_report(is_fake, scores, kinds=kinds, num_resamples=50)
    report.save(tmp_path / "report.csv")
    assert b'"=swap\xff\n",auc,' in (tmp_path / "report.csv").read_bytes()
    with open(tmp_path / "report.csv", newline="", encoding="utf-8", errors="replace") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["kind", "metric", "value", "low", "high"]
    low, high = report.intervals["auc"]
    assert rows[1][:2] == ["", "auc"]
    assert [float(cell) for cell in rows[1][2:]] == [report.metrics["auc"], low, high]
    assert len(rows) == 1 + 2 * len(report.metrics)


def test_notes_warn_of_what_the_figures_hide():
    labels, scores = arrays(12, size=90)
    text = " ".join(detection_report(labels, scores, num_resamples=50).notes)
    assert "No groups were given" in text
    assert "Of 60 reals" in text
    text = " ".join(detection_report(labels, 1 - scores, num_resamples=50).notes)
    assert "Reals score above fakes" in text
    groups = np.arange(90) % 4
    text = " ".join(detection_report(labels, scores, groups=groups, num_resamples=50).notes)
    assert "The fakes are only 4 groups" in text
    perfect = detection_report(labels, labels * 0.5 + 0.25, num_resamples=50)
    assert any("no width" in note for note in perfect.notes)


def test_print_shows_figures_in_a_table():
    labels, scores = arrays(13)
    report = detection_report(
        labels, scores, kinds=np.where(labels, "swap", ""), threshold=0.25, num_resamples=50
    )
    text = str(report)
    low, high = report.intervals["auc"]
    assert f"{report.metrics['auc']:.3f}  {low:.3f} to {high:.3f}" in text
    assert "300 images, 100 fake and 200 real" in text
    assert "0.25 (stated by the caller)" in text
    assert "swap" in text
    assert "array" not in repr(report.metrics)


def test_saved_page_shows_figures_and_escapes_names(tmp_path):
    labels, scores = arrays(14)
    kinds = np.where(labels == 1, "<script>alert(1)</script>", "")
    report = detection_report(labels, scores, kinds=kinds, num_resamples=50)
    images = np.random.default_rng(0).random((2, 8, 8, 3)).astype("float32")
    mistakes = tuple(
        Mistake(image, label, 0.75, f"<img src=x>{label}.png") for label, image in enumerate(images)
    )
    report = dataclasses.replace(report, mistakes=mistakes)
    path = tmp_path / "report.html"
    report.save(path, sections=[("Training", "Ten epochs.")])
    page = path.read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 7
    for metric in ("auc", "eer", "ece"):
        assert f"{report.metrics[metric]:.3f}" in page
    assert page.index("Kinds of forgery") < page.index("Reals called fake") < page.index("Training")
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "No groups were given" in page
