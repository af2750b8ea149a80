"""Maps of importance or error over the images that they belong to."""

import numpy as np

from keras_deepfake._arguments import check_entries, check_text
from keras_deepfake._pixels import to_numpy
from keras_deepfake.visualization._style import figure_axes
from keras_deepfake.visualization.images import (
    HEIGHT,
    WIDTH,
    as_images,
    check_length,
    color_bar,
    label_row,
    show,
)


def plot_overlays(images, maps, titles=None, label="Importance", axes=None):
    """Draw images, and below each the same image in grey under its map.

    Args:
        images: Array or tensor of shape `(images, height, width, channels)`, or a list of
            images. 1 or 3 channels, uint8 or float in [0, 1].
        maps: Shape `(images, height, width)`, finite and not negative: what `grad_cam` or
            `reconstruction_error_map` returns. One colour scale serves all of them.
        titles: One text for each image. By default none.
        label: What the maps show, for the colour bar.
        axes: Matplotlib axes to draw on, two for each image: first a row of images, then a row
            of overlays. By default those of a new figure.

    Returns:
        The Matplotlib figure.

    Raises:
        ValueError: for images of another shape, dtype or value range, for maps that do not fit
            them, for another number of titles, and for too few `axes`.

    Example:
    ```python
    images = np.random.default_rng(0).uniform(size=(2, 32, 32, 3))
    figure = kd.visualization.plot_overlays(images, images.mean(axis=-1), label="Brightness")
    ```
    """
    images = as_images(images)
    maps = maps if isinstance(maps, (list, tuple)) else np.atleast_1d(to_numpy(maps, "maps"))
    check_length("maps", maps, images)
    maps = [to_numpy(values, "maps").astype("float32") for values in maps]
    titles = [None] * len(images) if titles is None else titles
    titles = check_entries("titles", titles, len(images))
    label = check_text("label", label)
    for image, values in zip(images, maps, strict=True):
        if values.shape != image.shape[:2]:
            raise ValueError(
                "`maps` must have the height and width of their images; got "
                f"{values.shape} for {image.shape[:2]}."
            )
        if not np.isfinite(values).all() or values.min() < 0:
            raise ValueError("`maps` must be finite and not negative.")
    # A few outliers would leave everything else at the bottom of the scale.
    largest = np.quantile(np.concatenate([values.ravel() for values in maps]), 0.995)

    count = len(images)
    axes = figure_axes(axes, 2 * count, (WIDTH, HEIGHT), count)
    for ax, image, title in zip(axes[:count], images, titles, strict=True):
        show(ax, image, title)
    for ax, image, values in zip(axes[count:], images, maps, strict=True):
        # Grey below, so that every colour is the map's; and opaque only where the map is high,
        # so that the face stays recognisable.
        show(ax, image.mean(axis=-1, keepdims=True))
        share = np.clip(values / (largest or 1), 0, 1)
        drawn = show(ax, values, cmap="inferno", vmin=0, vmax=largest or 1, alpha=share**0.5)
    label_row(axes[0], "Image")
    label_row(axes[count], "Overlay")
    color_bar(drawn, axes[count:], label)
    return axes[0].get_figure(root=True)
