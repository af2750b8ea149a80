import pytest
from matplotlib.figure import Figure

from keras_deepfake.evaluation import RobustnessReport, RobustnessRow
from keras_deepfake.visualization import plot_robustness


def test_every_figure_of_the_report_is_written_in_its_cell():
    rows = (
        RobustnessRow("clean", None, 0.92, 0.85, 0.83),
        RobustnessRow("jpeg", 50, 0.81, 0.04, 0.99),
        RobustnessRow("blur", 2.0, 0.5, 1.0, 0.0),
    )
    report = RobustnessReport(rows, threshold=0.5, num_fake=40, num_real=40, seed=0)
    ax = Figure().add_subplot()
    assert plot_robustness(report, ax) is ax.get_figure()
    shown = {text.get_position(): text.get_text() for text in ax.texts}
    assert shown == {
        (column, row): f"{values[2 + column]:.2f}"
        for row, values in enumerate(rows)
        for column in range(3)
    }
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["Unchanged", "JPEG quality 50", "Blur, \N{GREEK SMALL LETTER SIGMA} 2 px"]
    (image,) = ax.images
    assert image.get_clim() == (0, 1)
    # Two lines part the three corruptions.
    assert sorted(line.get_ydata()[0] for line in ax.lines) == [0.5, 1.5]


@pytest.mark.parametrize("wrong", [None, "report", [0.5], 3])
def test_what_is_no_report_is_refused(wrong):
    with pytest.raises(ValueError, match="`report` must be a `RobustnessReport`"):
        plot_robustness(wrong)
