"""Photographs with their faces framed in the colour of the verdict."""

import numpy as np
from matplotlib.patches import Polygon

from keras_deepfake._arguments import check_entries
from keras_deepfake._classes import check_class_names, find_fake
from keras_deepfake._conformal import UNSURE
from keras_deepfake._pixels import to_numpy
from keras_deepfake._text import printable
from keras_deepfake.visualization._style import (
    FAKE,
    GUIDE,
    PLAIN,
    REAL,
    TICK_SIZE,
    figure_axes,
)
from keras_deepfake.visualization.images import as_images, show

# Inches of the longer side of a photograph.
LONGEST = 7.0


def plot_photograph(
    photograph, frames, verdicts, class_names=("fake", "real"), axes=None, fake_class=None
):
    """Draw a photograph with a frame around each face, in the colour of its verdict.

    Frames are numbered from 0, as colours alone do not tell everyone the verdicts.

    Args:
        photograph: Array or tensor of shape `(height, width, channels)`. 1 or 3 channels, uint8
            or float in [0, 1].
        frames: Shape `(faces, 4, 2)`, the corners `(x, y)` of each face in pixels, in turn, as
            `kd.faces.FaceCropper.corners` returns them.
        verdicts: One of `class_names`, or `"unsure"`, for each face.
        class_names: Two strings, the names of the classes.
        axes: Matplotlib axes to draw on. By default those of a new figure.
        fake_class: The name of the fake class, where it cannot be recognised.

    Returns:
        The Matplotlib figure.

    Raises:
        ValueError: for a photograph or frames of another shape, dtype or range, and for verdicts
            that are none or not one for each frame.

    Example:
    ```python
    photograph = np.zeros((80, 120, 3))
    frame = [[20, 20], [60, 20], [60, 60], [20, 60]]
    figure = kd.visualization.plot_photograph(photograph, [frame], ["fake"])
    ```
    """
    class_names = check_class_names(class_names, 2)
    fake = find_fake(class_names, fake_class)
    (image,) = as_images([photograph], "photograph")
    frames = to_numpy(frames, "frames")
    if len(frames) == 0:
        frames = frames.reshape(0, 4, 2)
    if frames.dtype.kind not in "iuf" or frames.shape[1:] != (4, 2) or frames.ndim != 3:
        raise ValueError(
            f"`frames` must be numbers of shape (faces, 4, 2); got shape {frames.shape}."
        )
    if not np.isfinite(frames).all():
        raise ValueError("`frames` must be finite.")
    verdicts = check_entries("verdicts", verdicts, len(frames))
    colors = {class_names[fake]: FAKE, class_names[1 - fake]: REAL, UNSURE: GUIDE}
    unknown = [verdict for verdict in verdicts if verdict not in list(colors)]
    if unknown:
        raise ValueError(f"`verdicts` must be of {list(colors)}; got {unknown[0]!r}.")

    height, width = image.shape[:2]
    scale = LONGEST / max(height, width)
    # A narrow panorama still leaves room for text.
    (ax,) = figure_axes(axes, 1, (max(width * scale, 1), max(height * scale, 1)))
    show(ax, image)
    for place, (corners, verdict) in enumerate(zip(frames, verdicts, strict=True)):
        # Matplotlib counts from the middle of the first pixel.
        corners = corners - 0.5
        color = colors[verdict]
        ax.add_patch(Polygon(corners, fill=False, edgecolor="white", linewidth=4))
        ax.add_patch(Polygon(corners, fill=False, edgecolor=color, linewidth=2.5))
        x, y = np.clip(corners[corners.sum(axis=1).argmin()], 0, (width - 1, height - 1))
        ax.text(
            x,
            y,
            printable(f"{place}: {verdict}"),
            color="white",
            fontsize=TICK_SIZE,
            va="top",
            bbox={"facecolor": color, "edgecolor": "none", "pad": 2},
            clip_on=True,
            **PLAIN,
        )
    # Frames that reach beyond the photograph do not widen the picture.
    ax.set_xlim(-0.5, width - 0.5)
    ax.set_ylim(height - 0.5, -0.5)
    return ax.get_figure(root=True)
