"""The look of every picture: colours, sizes, and the axes it is drawn on."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_deepfake._text import printable

# Okabe and Ito's palette, told apart with every common kind of colour blindness.
# https://jfly.uni-koeln.de/color/
FAKE, REAL = "#D55E00", "#0072B2"
TRAINING, VALIDATION = "#000000", "#009E73"
OTHER_CLASSES = ("#CC79A7", "#E69F00", "#56B4E9", "#F0E442")

INK, GUIDE, GRID = "#222222", "#777777", "#E5E5E5"
TITLE_SIZE, LABEL_SIZE, TICK_SIZE = 11, 10, 9
DPI = 120
# Names may hold a dollar sign, between two of which Matplotlib sees a formula.
PLAIN = {"parse_math": False}


def figure_axes(axes, count, panel_size, columns=None, name="axes"):
    """List of `count` axes: the first of those given, or those of a new figure.

    Args:
        axes: `None`, one Matplotlib axes, or any array or nested list of them.
        count: Number of panels needed.
        panel_size: Width and height of a panel of a new figure, in inches.
        columns: Panels in a row of a new figure; by default rows of equal length, in a block
            that is wider than high.
        name: Name of the argument in messages.
    """
    if axes is not None:
        given, axes = axes, np.ravel(np.asarray(axes, dtype=object)).tolist()
        if not all(isinstance(ax, Axes) for ax in axes):
            raise ValueError(f"`{name}` must be Matplotlib axes; got {given!r:.200}.")
        if len(axes) < count:
            raise ValueError(
                f"`{name}` must hold at least {count} axes, one for each panel; got {len(axes)}."
            )
        return axes[:count]
    if columns is None:
        columns = math.ceil(count / round(max(1, math.sqrt(count / 1.5))))
    rows = math.ceil(count / columns)
    # A figure of its own, not pyplot's: it needs no display, and is freed when it is dropped.
    figure = Figure((columns * panel_size[0], rows * panel_size[1]), DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)
    return [figure.add_subplot(rows, columns, place + 1) for place in range(count)]


def dress(ax, xlabel, ylabel, title=None):
    """Give a chart its labels, a light grid, and no frame but the two axes."""
    ax.set_xlabel(printable(xlabel), fontsize=LABEL_SIZE, color=INK, **PLAIN)
    ax.set_ylabel(printable(ylabel), fontsize=LABEL_SIZE, color=INK, **PLAIN)
    if title:
        ax.set_title(printable(title), fontsize=TITLE_SIZE, color=INK, loc="left", **PLAIN)
    ax.tick_params(labelsize=TICK_SIZE, colors=INK, length=0)
    ax.grid(True, color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GUIDE)
