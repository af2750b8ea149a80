import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_deepfake.visualization import (
    plot_confusion_matrix,
    plot_precision_recall,
    plot_reliability,
    plot_roc,
    plot_score_histogram,
)

# Three of four fakes score above all reals, one fake below the highest real.
IS_FAKE = np.array([1, 1, 1, 0, 1, 0, 0, 0])
SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.55, 0.3, 0.2, 0.1])


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize(
    ("plot", "xlabel", "ylabel"),
    [
        (plot_roc, "False positive rate", "True positive rate"),
        (plot_precision_recall, "Recall of fakes", "Precision"),
        (plot_reliability, "Mean score in the bin, P(fake)", "Share of fakes"),
        (plot_score_histogram, "Score, P(fake)", "Share of the class"),
    ],
)
def test_labelled_axes_given_or_new(plot, xlabel, ylabel):
    (ax,) = plot(IS_FAKE, SCORES).axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == (xlabel, ylabel)
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plot(IS_FAKE, SCORES, ax=right) is figure
    assert right.get_xlabel() == xlabel
    assert not left.has_data()
    with pytest.raises(ValueError, match="must hold both classes"):
        plot([1, 1], [0.2, 0.9])


def test_roc_numbers():
    (ax,) = plot_roc(IS_FAKE, SCORES).axes
    assert ax.get_title(loc="left") == "ROC, AUC 0.938"
    assert legend(ax) == ["Chance", "Detector", "75% found at FPR ≤ 1%", "75% found at FPR ≤ 5%"]
    curve = ax.lines[1]
    np.testing.assert_allclose(curve.get_xdata()[-1], 1)
    np.testing.assert_allclose(curve.get_ydata()[:4], [0, 0.25, 0.5, 0.75])


def test_precision_recall_numbers():
    (ax,) = plot_precision_recall(IS_FAKE, SCORES).axes
    # (1 + 1 + 1 + 4/5) / 4
    assert ax.get_title(loc="left") == "Precision and recall, AP 0.950"
    assert legend(ax) == ["Chance (50% fake)", "Detector"]


def test_reliability_intervals_are_wilsons():
    labels = np.repeat([1, 0, 1, 0], [2, 8, 10, 0])
    scores = np.repeat([0.2, 0.9], 10)
    (ax,) = plot_reliability(labels, scores, num_bins=2).axes
    assert ax.get_title(loc="left") == "Reliability, ECE 0.050"
    (bars,) = [c for c in ax.containers if c.has_yerr]
    points, _, (intervals,) = bars
    np.testing.assert_allclose(points.get_xydata(), [[0.2, 0.2], [0.9, 1.0]])
    ends = [segment[:, 1] for segment in intervals.get_segments()]
    # 2 of 10 and 10 of 10, from a table of Wilson's intervals.
    np.testing.assert_allclose(ends, [[0.0567, 0.5098], [0.7225, 1.0]], atol=1e-4)


def test_histogram_is_scaled_by_class():
    labels = np.repeat([1, 0], [2, 8])
    scores = np.repeat([0.99, 0.01, 0.02], [2, 4, 4])
    (ax,) = plot_score_histogram(labels, scores, threshold=0.5).axes
    assert legend(ax) == ["Real (8 images)", "Fake (2 images)", "Threshold 0.5"]
    tops = [patch.get_path().vertices[:, 1].max() for patch in ax.patches]
    np.testing.assert_allclose(tops, [1, 1])
    assert ax.patches[1].get_hatch()


def test_confusion_matrix_shows_counts_and_shares_of_the_true_class():
    (ax,) = plot_confusion_matrix([[45, 5], [10, 0]]).axes
    assert [text.get_text() for text in ax.texts] == ["45\n90%", "5\n10%", "10\n100%", "0\n0%"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Verdict", "True class")
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["fake", "real"]
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.9, 0.1], [1, 0]])


def test_confusion_matrix_of_an_absent_class():
    (ax,) = plot_confusion_matrix([[3, 1], [0, 0]]).axes
    assert ax.texts[2].get_text() == "0\n0%"


@pytest.mark.parametrize(
    "matrix", [[[1, 2]], [[1, -1], [0, 1]], [[np.nan, 1], [0, 1]], [[np.inf, 1], [0, 1]], 3]
)
def test_unfit_confusion_matrix_is_refused(matrix):
    with pytest.raises(ValueError, match="`matrix` must hold counts"):
        plot_confusion_matrix(matrix)


@pytest.mark.parametrize(
    ("plot", "arguments", "reason"),
    [
        (plot_roc, {"is_fake": None, "scores": SCORES}, "`is_fake` must be"),
        (plot_precision_recall, {"is_fake": IS_FAKE, "scores": "abc"}, "`scores` must be"),
        (plot_roc, {"ax": 3}, "`ax` must be Matplotlib axes"),
        (plot_precision_recall, {"ax": "ax"}, "`ax` must be Matplotlib axes"),
        (plot_reliability, {"num_bins": 10**9}, "`num_bins` must be an integer"),
        (plot_reliability, {"num_bins": 2.5}, "`num_bins` must be an integer"),
        (plot_score_histogram, {"threshold": np.nan}, "`threshold` must be"),
        (plot_score_histogram, {"threshold": 31}, "`threshold` must be"),
        (plot_confusion_matrix, {"matrix": [["a", "b"], ["c", "d"]]}, "`matrix` must be an array"),
        (plot_confusion_matrix, {"matrix": None}, "`matrix` must be"),
        (plot_confusion_matrix, {"matrix": [[1, 2], [3, 4]], "class_names": 3}, "`class_names`"),
    ],
)
def test_wrong_arguments_are_refused_by_name(plot, arguments, reason):
    if plot is not plot_confusion_matrix:
        arguments = {"is_fake": IS_FAKE, "scores": SCORES, **arguments}
    with pytest.raises(ValueError, match=reason):
        plot(**arguments)


def test_booleans_are_drawn_as_numbers_are():
    (ax,) = plot_precision_recall(IS_FAKE.astype(bool).tolist(), SCORES.tolist()).axes
    assert legend(ax) == ["Chance (50% fake)", "Detector"]
