"""Charts of how well a detector's scores tell fakes from real images."""

import numpy as np
from matplotlib.ticker import PercentFormatter

from keras_deepfake._arguments import check_number
from keras_deepfake._classes import check_class_names
from keras_deepfake._pixels import to_numpy
from keras_deepfake._text import printable
from keras_deepfake.evaluation.curves import (
    check_truth_and_scores,
    precision_recall_curve,
    reliability_curve,
    roc_curve,
)
from keras_deepfake.visualization._style import (
    FAKE,
    GUIDE,
    INK,
    LABEL_SIZE,
    PLAIN,
    REAL,
    TICK_SIZE,
    dress,
    figure_axes,
)

SQUARE = (4.4, 4.4)


def _dress_unit_square(ax, xlabel, ylabel, title):
    dress(ax, xlabel, ylabel, title)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.set_yticks(np.linspace(0, 1, 6))


def _legend(ax, **kwargs):
    # White behind the text keeps it legible where it must lie on the data.
    ax.legend(fontsize=TICK_SIZE, labelcolor=INK, edgecolor="none", framealpha=0.85, **kwargs)


def plot_roc(is_fake, scores, ax=None):
    """Plot the receiver operating characteristic, its area, and two operating points.

    The points are the highest true positive rates at false positive rates of at most 1 % and
    5 %: what a detector finds when few real images may be called fake.

    Args:
        is_fake: 1-D array of booleans, or of 1 for a fake image and 0 for a real one.
        scores: 1-D array of the same length, the probability of being fake, in [0, 1].
        ax: Matplotlib axes to draw on. By default those of a new figure.

    Returns:
        The Matplotlib figure.

    Raises:
        ValueError: for empty arrays or arrays of different lengths, `is_fake` other than 0 and
            1, one class only, and scores that are not finite or outside [0, 1].

    Example:
    ```python
    figure = kd.visualization.plot_roc([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1])
    ```
    """
    false_positive_rates, true_positive_rates, _ = roc_curve(is_fake, scores)
    area = np.trapezoid(true_positive_rates, false_positive_rates)
    (ax,) = figure_axes(ax, 1, SQUARE, name="ax")
    ax.plot([0, 1], [0, 1], ":", color=GUIDE, linewidth=1.2, label="Chance")
    ax.plot(false_positive_rates, true_positive_rates, color=INK, linewidth=1.8, label="Detector")
    for limit, marker in ((0.01, "s"), (0.05, "D")):
        best = np.flatnonzero(false_positive_rates <= limit)[-1]
        rate = true_positive_rates[best]
        ax.plot(
            false_positive_rates[best],
            rate,
            marker,
            color=FAKE,
            markersize=6,
            label=f"{rate:.0%} found at FPR ≤ {limit:.0%}",
            clip_on=False,
        )
    _dress_unit_square(ax, "False positive rate", "True positive rate", f"ROC, AUC {area:.3f}")
    _legend(ax, loc="lower right")
    return ax.get_figure(root=True)


def plot_precision_recall(is_fake, scores, ax=None):
    """Plot precision against recall of the fake class, with the average precision.

    The dotted line is chance level: the share of fakes among the images, on which precision
    depends. The curve is drawn in steps, since points of it may not be joined by straight lines.

    Args:
        is_fake: 1-D array of booleans, or of 1 for a fake image and 0 for a real one.
        scores: 1-D array of the same length, the probability of being fake, in [0, 1].
        ax: Matplotlib axes to draw on. By default those of a new figure.

    Returns:
        The Matplotlib figure.

    Raises:
        ValueError: as `plot_roc`.

    Example:
    ```python
    figure = kd.visualization.plot_precision_recall([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1])
    ```
    """
    precision, recall, _ = precision_recall_curve(is_fake, scores)
    average = -np.sum(np.diff(recall) * precision[:-1])
    prevalence = precision[0]  # where all are called fake
    (ax,) = figure_axes(ax, 1, SQUARE, name="ax")
    ax.axhline(
        prevalence,
        linestyle=":",
        color=GUIDE,
        linewidth=1.2,
        label=f"Chance ({prevalence:.0%} fake)",
    )
    ax.step(recall, precision, where="post", color=INK, linewidth=1.8, label="Detector")
    title = f"Precision and recall, AP {average:.3f}"
    _dress_unit_square(ax, "Recall of fakes", "Precision", title)
    _legend(ax, loc="lower left")
    return ax.get_figure(root=True)


def plot_reliability(is_fake, scores, num_bins=15, ax=None):
    """Plot the share of fakes against the score, with a 95 % interval for each bin.

    Scores are cut into bins that hold equally many images. A calibrated detector's points lie
    on the diagonal: of the images that it calls fake with probability 0.8, 80 % are fake. The
    bars are Wilson's binomial intervals, which hold for independent images. The title gives the
    expected calibration error.

    Args:
        is_fake: 1-D array of booleans, or of 1 for a fake image and 0 for a real one.
        scores: 1-D array of the same length, the probability of being fake, in [0, 1].
        num_bins: Integer, number of bins.
        ax: Matplotlib axes to draw on. By default those of a new figure.

    Returns:
        The Matplotlib figure.

    Raises:
        ValueError: as `plot_roc`, and for `num_bins` other than a positive integer.

    Example:
    ```python
    figure = kd.visualization.plot_reliability([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1], num_bins=2)
    ```

    Reference:
        [Wilson, 1927](https://doi.org/10.1080/01621459.1927.10502953)
    """
    mean_score, share, count = reliability_curve(is_fake, scores, num_bins)
    error = np.average(np.abs(share - mean_score), weights=count)
    z = 1.959964  # 97.5 % quantile of the normal distribution
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    (ax,) = figure_axes(ax, 1, SQUARE, name="ax")
    ax.plot([0, 1], [0, 1], ":", color=GUIDE, linewidth=1.2, label="Calibrated")
    # Rounding may put an end of the interval beyond a share of 0 or 1.
    reach = np.maximum([share - (centre - half), centre + half - share], 0)
    ax.errorbar(
        mean_score,
        share,
        reach,
        fmt="o",
        color=INK,
        markersize=4.5,
        elinewidth=1.2,
        capsize=2.5,
        label="Detector, 95% interval",
    )
    title = f"Reliability, ECE {error:.3f}"
    _dress_unit_square(ax, "Mean score in the bin, P(fake)", "Share of fakes", title)
    _legend(ax, loc="upper left")
    return ax.get_figure(root=True)


def plot_score_histogram(is_fake, scores, threshold=None, ax=None):
    """Plot how the scores of fake and of real images are distributed.

    Each class is scaled to its own number of images, so that a rare class is seen as well.

    Args:
        is_fake: 1-D array of booleans, or of 1 for a fake image and 0 for a real one.
        scores: 1-D array of the same length, the probability of being fake, in [0, 1].
        threshold: Float in [0, 1], the score from which an image is called fake. By default not
            drawn.
        ax: Matplotlib axes to draw on. By default those of a new figure.

    Returns:
        The Matplotlib figure.

    Raises:
        ValueError: as `plot_roc`.

    Example:
    ```python
    figure = kd.visualization.plot_score_histogram(
        [1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1], threshold=0.5
    )
    ```
    """
    is_fake, scores = check_truth_and_scores(is_fake, scores)
    if threshold is not None:
        threshold = check_number("threshold", threshold, 0, 1)
    (ax,) = figure_axes(ax, 1, (5.6, 3.4), name="ax")
    # The outlines and hatching tell the classes apart without colour too.
    classes = (
        ("Real", scores[~is_fake], {"color": REAL, "linestyle": "-"}),
        ("Fake", scores[is_fake], {"color": FAKE, "linestyle": "--", "hatch": "////"}),
    )
    for name, values, look in classes:
        ax.hist(
            values,
            bins=np.linspace(0, 1, 21),
            weights=np.full(len(values), 1 / len(values)),
            histtype="stepfilled",
            facecolor=(look["color"], 0.18),
            edgecolor=look.pop("color"),
            linewidth=1.8,
            label=f"{name} ({len(values)} images)",
            **look,
        )
    if threshold is not None:
        label = f"Threshold {threshold:.2g}"
        ax.axvline(threshold, color=INK, linewidth=1.5, linestyle="-.", label=label)
    dress(ax, "Score, P(fake)", "Share of the class", "Scores by class")
    ax.set_xlim(-0.02, 1.02)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    _legend(ax)
    return ax.get_figure(root=True)


def plot_confusion_matrix(matrix, class_names=("fake", "real"), ax=None):
    """Plot counts of verdicts by true class, shaded by their share of that class.

    Args:
        matrix: Integers of shape `(classes, classes)`; rows are true classes, columns verdicts.
        class_names: Different names of rows and columns, two or more.
        ax: Matplotlib axes to draw on. By default those of a new figure.

    Returns:
        The Matplotlib figure.

    Raises:
        ValueError: if `matrix` is not square with one row a class, or holds anything but finite
            numbers of at least 0.

    Example:
    ```python
    figure = kd.visualization.plot_confusion_matrix([[45, 5], [10, 40]])
    ```
    """
    class_names = check_class_names(class_names)
    matrix = to_numpy(matrix, "matrix")
    size = len(class_names)
    is_counts = matrix.dtype.kind in "iuf" and np.isfinite(matrix).all() and (matrix >= 0).all()
    if matrix.shape != (size, size) or not is_counts:
        raise ValueError(
            f"`matrix` must hold counts in shape {(size, size)}, a row and a column for each of "
            f"{class_names}; got {matrix.tolist()}."
        )
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    (ax,) = figure_axes(ax, 1, (1.6 + size, 1.2 + size), name="ax")
    # Half of the scale: dark text stays legible on every shade.
    ax.imshow(shares, cmap="Greys", vmin=0, vmax=2)
    for (row, column), share in np.ndenumerate(shares):
        ax.text(
            column,
            row,
            f"{matrix[row, column]:g}\n{share:.0%}",
            ha="center",
            va="center",
            fontsize=LABEL_SIZE,
            color=INK,
        )
    dress(ax, "Verdict", "True class", "Confusion matrix")
    ax.grid(False)
    ax.spines[:].set_visible(False)
    names = [printable(name) for name in class_names]
    ax.set_xticks(range(size), names, **PLAIN)
    ax.set_yticks(range(size), names, **PLAIN)
    return ax.get_figure(root=True)
