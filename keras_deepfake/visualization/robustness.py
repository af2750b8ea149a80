"""Heat map of what corruptions do to a detector."""

import numpy as np

from keras_deepfake.visualization._style import INK, LABEL_SIZE, TICK_SIZE, dress, figure_axes

_COLUMNS = {"auc": "AUC", "recall_fake": "Recall\nof fake", "recall_real": "Recall\nof real"}


def plot_robustness(report, ax=None):
    """Draw AUC and recalls under every corruption and level as a heat map with numbers.

    The colours run from 0 to 1 and stay ordered in grey print and for every kind of colour
    blindness.

    Args:
        report: `RobustnessReport`.
        ax: Matplotlib axes to draw on. By default those of a new figure.

    Returns:
        The Matplotlib figure.

    Raises:
        ValueError: for what is no `RobustnessReport`.

    Example:
    ```python
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    )
    images = np.random.default_rng(0).random((20, 16, 16, 3), "float32")
    report = kd.evaluation.evaluate_robustness(
        model, (images, [1, 0] * 10), {"jpeg": (90, 50)}, class_names=("fake", "real")
    )
    figure = kd.visualization.plot_robustness(report)
    ```
    """
    if not getattr(report, "rows", None) or not hasattr(report.rows[0], "corruption"):
        raise ValueError(f"`report` must be a `RobustnessReport`; got {type(report).__name__}.")
    values = np.array([[getattr(row, name) for name in _COLUMNS] for row in report.rows])
    (ax,) = figure_axes(ax, 1, (4.6, 0.27 * len(values) + 0.8), name="ax")
    ax.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        ax.text(
            column,
            row,
            f"{value:.2f}",
            ha="center",
            va="center",
            fontsize=TICK_SIZE,
            color="white" if value < 0.55 else INK,
        )
    names = [row.corruption for row in report.rows]
    for row in range(1, len(names)):
        if names[row] != names[row - 1]:
            ax.axhline(row - 0.5, color="white", linewidth=4)
    dress(ax, "", "")
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.xaxis.tick_top()
    ax.set_xticks(range(len(_COLUMNS)), _COLUMNS.values(), fontsize=LABEL_SIZE)
    ax.set_yticks(range(len(names)), [row.label for row in report.rows])
    return ax.get_figure(root=True)
