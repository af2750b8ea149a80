"""The picture of a hyperparameter search."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from keras_deepfake.visualization._style import FAKE, REAL, TICK_SIZE, dress, figure_axes

# More than this do not fit under a panel side by side.
MAX_CHARACTERS = 20


def plot_search(results, hyperparameters=None, axes=None):
    """Plot the objective of every completed trial against each hyperparameter, a panel each.

    The best trial is drawn apart. A panel shows what was tried, and not what one
    hyperparameter does alone: the others vary too.

    Args:
        results: `kd.hypermodels.SearchResults`.
        hyperparameters: Names of what to plot. By default all that took several values.
        axes: Matplotlib axes to draw on, one for each hyperparameter. By default those of a new
            figure.

    Returns:
        The Matplotlib figure.

    Raises:
        ValueError: If `results` are none, no trial was completed, or `hyperparameters` names one
            that no trial had.

    Example:
    ```python
    import keras_tuner

    hypermodel = kd.hypermodels.HyperConvAutoencoder((16, 16, 3), depth=1, filters=(4, 8, 4))
    tuner = keras_tuner.RandomSearch(
        hypermodel, keras_tuner.Objective("val_loss", "min"), max_trials=2, seed=1
    )
    images = np.zeros((4, 16, 16, 3), "float32")
    results = kd.hypermodels.search(
        tuner, images, images, validation_data=(images, images), verbose=0
    )
    figure = kd.visualization.plot_search(results)
    ```
    """
    if not hasattr(results, "hyperparameter_names"):
        raise ValueError(f"`results` must be `SearchResults`; got {type(results).__name__}.")
    rows = [row for row in results.rows if row["score"] is not None]
    if not rows:
        raise ValueError("`results` must hold at least one completed trial; there is none.")
    known = results.hyperparameter_names()
    if hyperparameters is None:
        hyperparameters = [
            name
            for name in known
            if not name.startswith("tuner/") and len(set(_values(rows, name))) > 1
        ] or known[:1]
    if (
        not isinstance(hyperparameters, (list, tuple))
        or not hyperparameters
        or any(name not in known for name in hyperparameters)
    ):
        raise ValueError(
            f"`hyperparameters` must be a list of names among {known}; got {hyperparameters!r}."
        )

    axes = figure_axes(axes, len(hyperparameters), (3.0, 2.5))
    scores = [row["score"] for row in rows]
    margin = 0.05 * (max(scores) - min(scores)) or 0.5
    for ax, name in zip(axes, hyperparameters, strict=True):
        values = _values(rows, name)
        numbers = [value for value in values if value is not None]
        is_number = all(
            isinstance(value, (int, float)) and not isinstance(value, bool) for value in numbers
        )
        ordered = sorted(set(numbers)) if is_number else sorted(set(numbers), key=str)
        # Drawn from a range, and not one of a few.
        is_continuous = is_number and any(value != float(f"{value:.4g}") for value in ordered)
        if is_continuous or (is_number and len(ordered) > 8):
            places = [np.nan if value is None else value for value in values]
            is_float = any(isinstance(value, float) for value in ordered)
            if is_float and ordered[0] > 0 and ordered[-1] / ordered[0] > 20:
                ax.set_xscale("log")
        else:
            # Few values, perhaps 0 among powers of ten, are told apart best at equal distances.
            places = [np.nan if value is None else ordered.index(value) for value in values]
            labels = [f"{value:g}" if is_number else str(value) for value in ordered]
            ax.set_xticks(range(len(ordered)), labels)
            if len("".join(labels)) > MAX_CHARACTERS:
                ax.tick_params("x", rotation=45)
            ax.set_xlim(-0.5, len(ordered) - 0.5)
        ax.scatter(places[1:], scores[1:], s=22, color=REAL, alpha=0.6, label="Trial")
        ax.scatter(places[:1], scores[:1], s=60, color=FAKE, marker="*", label="Best")
        ax.set_ylim(min(scores) - margin, max(scores) + margin)
        dress(ax, name, results.objective)
        ax.yaxis.set_major_locator(MaxNLocator(5))
    axes[0].legend(frameon=False, fontsize=TICK_SIZE)
    return axes[0].get_figure(root=True)


def _values(rows, name):
    return [row["hyperparameters"].get(name) for row in rows]
