"""Curves of loss and metrics over the epochs."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from keras_deepfake._pixels import to_numpy
from keras_deepfake.visualization._style import (
    INK,
    LABEL_SIZE,
    TRAINING,
    VALIDATION,
    dress,
    figure_axes,
)


def plot_training_curves(history, metrics=None, axes=None):
    """Plot loss and metrics against the epoch, one panel each, training beside validation.

    The training value of an epoch is Keras's running mean over the batches of that epoch; the
    validation value is taken at its end.

    Args:
        history: The `History` that `fit` returns, or a dictionary of lists as its `history`
            attribute, where validation values carry the prefix `"val_"`.
        metrics: Names of what to plot, without the prefix. By default everything in `history`.
        axes: Matplotlib axes to draw on, one for each metric. By default those of a new figure.

    Returns:
        The Matplotlib figure.

    Raises:
        ValueError: if `history` is none, holds nothing, lacks one of `metrics`, or has lists of
            different lengths or of something else than numbers, and for too few `axes`.

    Example:
    ```python
    history = {"loss": [0.7, 0.5, 0.4], "val_loss": [0.7, 0.6, 0.6]}
    figure = kd.visualization.plot_training_curves(history)
    ```
    """
    values = getattr(history, "history", history)
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ValueError(
            "`history` must be what `fit` returns, or a dictionary of lists by the names of the "
            f"metrics; got {history!r:.200}."
        )
    values = {name: to_numpy(column, f"history[{name!r}]") for name, column in values.items()}
    known = list(dict.fromkeys(name.removeprefix("val_") for name in values))
    metrics = known if metrics is None else metrics
    is_list = isinstance(metrics, (list, tuple)) and len(metrics) > 0
    if not is_list or any(name not in known for name in metrics):
        raise ValueError(
            f"`metrics` must be a list of what `history` holds, {known}, without the prefix "
            f"'val_'; got {metrics!r}."
        )
    num_epochs = max(map(np.size, values.values()))
    if any(column.shape != (num_epochs,) for column in values.values()):
        shapes = {name: column.shape for name, column in values.items()}
        raise ValueError(
            f"`history` must hold one value an epoch in every list; got shapes {shapes}. Fill "
            "epochs without validation with NaN."
        )
    # A resumed training starts at a later epoch, which only the `History` knows.
    first = min(getattr(history, "epoch", None) or [0]) + 1
    epochs = np.arange(first, first + num_epochs)

    axes = figure_axes(axes, len(metrics), (3.6, 2.8))
    lines = (
        ("", "Training", TRAINING, "-", TRAINING),
        ("val_", "Validation", VALIDATION, "--", "white"),
    )
    for ax, metric in zip(axes, metrics, strict=True):
        for prefix, label, color, linestyle, fill in lines:
            if prefix + metric in values:
                ax.plot(
                    epochs,
                    values[prefix + metric],
                    linestyle,
                    color=color,
                    linewidth=1.6,
                    # Markers show single epochs; on long trainings they would hide the line.
                    marker="o" if len(epochs) <= 30 else None,
                    markersize=4.5,
                    markerfacecolor=fill,
                    label=label,
                )
        name = metric.replace("_", " ")
        dress(ax, "Epoch", name.upper() if len(name) == 3 else name[:1].upper() + name[1:])
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        # Noise about a level must not look like a trend.
        low, high = ax.get_ylim()
        slack = max(0, 0.1 * max(abs(low), abs(high)) - (high - low)) / 2
        ax.set_ylim(low - slack, high + slack)
        ax.ticklabel_format(axis="y", useOffset=False)
    axes[0].legend(frameon=False, fontsize=LABEL_SIZE, labelcolor=INK)
    return axes[0].get_figure(root=True)
