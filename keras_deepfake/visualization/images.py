"""Sheets of images: plain, in pairs, reconstructed, and with a detector's verdicts."""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from keras_deepfake._arguments import check_entries, check_integer, check_number
from keras_deepfake._classes import check_class_names, class_numbers, find_fake
from keras_deepfake._conformal import UNSURE, check_bounds, name_verdicts
from keras_deepfake._pixels import TOLERANCE, to_numpy, unit_pixels
from keras_deepfake._text import printable
from keras_deepfake.visualization._style import (
    FAKE,
    INK,
    LABEL_SIZE,
    OTHER_CLASSES,
    PLAIN,
    REAL,
    TICK_SIZE,
    figure_axes,
)

# Inches of one image of a sheet, with and without a line of text.
WIDTH, HEIGHT, TEXT = 1.6, 1.6, 0.2


def as_images(images, name="images", clip=True):
    """Return a list of `(height, width, channels)` floats for drawing, or say what is wrong.

    `clip=False` takes any finite floats and keeps them: a ReLU's output has no upper end.
    """
    if not isinstance(images, (list, tuple)):
        images = np.atleast_1d(to_numpy(images, name))
    if len(images) == 0:
        raise ValueError(f"`{name}` is empty: there is nothing to draw.")
    read = unit_pixels if clip else _finite_pixels
    return [_channels_last(read(image, name), name) for image in images]


def _finite_pixels(images, name):
    images = to_numpy(images, name)
    if images.dtype == "uint8":
        return images / np.float32(255)
    if images.dtype.kind in "biuc":
        raise ValueError(f"`{name}` must be uint8, or floating point; got dtype {images.dtype}.")
    images = images.astype("float32")
    if not np.isfinite(images).all():
        raise ValueError(f"`{name}` must hold finite pixel values; got NaN or infinity.")
    return images


def _channels_last(image, name):
    if image.ndim == 3 and image.size > 0:
        if image.shape[-1] in (1, 3):
            return image
        if image.shape[0] in (1, 3):
            return np.moveaxis(image, 0, -1)
    raise ValueError(
        f"`{name}` must be a batch of shape (images, height, width, channels) with 1 or 3 "
        f"channels, or a list of such images; one image has shape {image.shape}."
    )


def check_length(name, values, images):
    """Raise unless there is one value an image."""
    if len(values) != len(images):
        raise ValueError(
            f"`{name}` must have one entry for each image; got {len(values)} for "
            f"{len(images)} images."
        )


def show(ax, image, title=None, **kwargs):
    """Draw an image or a map with neither ticks nor frame."""
    if image.ndim == 3:
        image = np.clip(image, 0, 1)
        kwargs = {"cmap": "gray", "vmin": 0, "vmax": 1}
        image = image[..., 0] if image.shape[-1] == 1 else image
    drawn = ax.imshow(image, **kwargs)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    if title is not None:
        ax.set_title(printable(title), fontsize=TICK_SIZE, color=INK, pad=4, **PLAIN)
    return drawn


def label_row(ax, text):
    """Name a row of a sheet at its first image."""
    ax.set_ylabel(text, fontsize=LABEL_SIZE, color=INK)


def color_bar(drawn, axes, label):
    """Colour scale of the drawn maps, which values may exceed, beside all of `axes`."""
    look = {"shrink": 0.9, "aspect": 14, "pad": 0.02, "extend": "max"}
    bar = axes[-1].get_figure().colorbar(drawn, ax=axes, **look)
    bar.set_label(printable(label), fontsize=LABEL_SIZE, color=INK, **PLAIN)
    bar.ax.tick_params(labelsize=TICK_SIZE, colors=INK, length=0)
    bar.outline.set_visible(False)


def plot_images(images, titles=None, columns=None, axes=None):
    """Draw a sheet of images.

    Args:
        images: Array or tensor of shape `(images, height, width, channels)`, or a list of
            images of different sizes. 1 or 3 channels, uint8 or float in [0, 1].
        titles: One text for each image, such as its class. By default none.
        columns: Integer, images in a row of a new figure. By default as fits their number.
        axes: Matplotlib axes to draw on, one for each image. By default those of a new figure.

    Returns:
        The Matplotlib figure.

    Raises:
        ValueError: for images of another shape, dtype or value range, for another number of
            titles, and for too few `axes`.

    Example:
    ```python
    images = np.random.default_rng(0).uniform(size=(6, 32, 32, 3))
    figure = kd.visualization.plot_images(images, titles=["fake", "real"] * 3)
    ```
    """
    images = as_images(images)
    titles = [None] * len(images) if titles is None else titles
    titles = check_entries("titles", titles, len(images))
    if columns is not None:
        columns = min(check_integer("columns", columns, 1), len(images))
    axes = figure_axes(axes, len(images), (WIDTH, HEIGHT + TEXT), columns)
    for ax, image, title in zip(axes, images, titles, strict=True):
        show(ax, image, title)
    return axes[0].get_figure(root=True)


def plot_input_target(inputs, targets, axes=None):
    """Draw the images that a model is given above those that it shall return.

    The check of a reconstruction data set before training: each column shows the same face
    twice, or its corrupted and its clean version.

    Args:
        inputs: Array or tensor of shape `(images, height, width, channels)`, or a list of
            images. 1 or 3 channels, uint8 or float in [0, 1].
        targets: As many images of the same kind.
        axes: Matplotlib axes to draw on, two for each image: first a row of inputs, then a row
            of targets. By default those of a new figure.

    Returns:
        The Matplotlib figure.

    Raises:
        ValueError: for images of another shape, dtype or value range, for different numbers of
            inputs and targets, and for too few `axes`.

    Example:
    ```python
    images = np.random.default_rng(0).uniform(size=(4, 32, 32, 3))
    figure = kd.visualization.plot_input_target(images, images)
    ```
    """
    inputs, targets = as_images(inputs, "inputs"), as_images(targets, "targets")
    check_length("targets", targets, inputs)
    count = len(inputs)
    axes = figure_axes(axes, 2 * count, (WIDTH, HEIGHT), count)
    for ax, image in zip(axes, inputs + targets, strict=True):
        show(ax, image)
    label_row(axes[0], "Input")
    label_row(axes[count], "Target")
    return axes[0].get_figure(root=True)


def plot_reconstructions(images, reconstructions, axes=None):
    """Draw images, their reconstructions, and the error of every pixel.

    The error of a pixel is the mean over its channels of the absolute difference, on the 0 to
    1 scale of the images. One colour scale serves all images; it ends at the 99.5 % quantile of
    the errors. The title of an error map is the mean squared error of that image, as
    `ConvAutoencoder.reconstruction_error` gives it.

    Args:
        images: Array or tensor of shape `(images, height, width, channels)`, or a list of
            images. 1 or 3 channels, uint8 or float in [0, 1].
        reconstructions: As many of the same shapes, uint8 or any finite float. What lies
            outside [0, 1] counts in the error as it is, and is drawn clipped.
        axes: Matplotlib axes to draw on, three for each image: a row of images, one of
            reconstructions, one of errors. By default those of a new figure.

    Returns:
        The Matplotlib figure.

    Raises:
        ValueError: for images of another shape, dtype or value range, for different numbers or
            shapes of images and reconstructions, and for too few `axes`.

    Example:
    ```python
    autoencoder = kd.models.ConvAutoencoder(image_shape=(32, 32, 3), filters=(8, 4))
    images = np.random.default_rng(0).uniform(size=(4, 32, 32, 3)).astype("float32")
    figure = kd.visualization.plot_reconstructions(images, autoencoder(images))
    ```
    """
    images = as_images(images)
    reconstructions = as_images(reconstructions, "reconstructions", clip=False)
    check_length("reconstructions", reconstructions, images)
    for image, reconstruction in zip(images, reconstructions, strict=True):
        if image.shape != reconstruction.shape:
            raise ValueError(
                "`reconstructions` must have the shapes of `images`; got "
                f"{reconstruction.shape} for {image.shape}."
            )
    differences = [x - y for x, y in zip(images, reconstructions, strict=True)]
    errors = [np.abs(difference).mean(axis=-1) for difference in differences]
    # A few outliers would leave everything else black.
    largest = np.quantile(np.concatenate([error.ravel() for error in errors]), 0.995)

    count = len(images)
    axes = figure_axes(axes, 3 * count, (WIDTH, HEIGHT), count)
    for ax, image in zip(axes[: 2 * count], images + reconstructions, strict=True):
        show(ax, image)
    for ax, error, difference in zip(axes[2 * count :], errors, differences, strict=True):
        title = f"MSE {np.mean(difference**2):.4f}"
        drawn = show(ax, error, title, cmap="inferno", vmin=0, vmax=largest or 1)
    for row, text in enumerate(("Original", "Reconstruction", "Error")):
        label_row(axes[row * count], text)
    color_bar(drawn, axes[2 * count :], "Absolute error")
    return axes[0].get_figure(root=True)


def plot_predictions(
    images,
    probabilities,
    class_names=("fake", "real"),
    labels=None,
    threshold=None,
    fake_class=None,
    axes=None,
    conformal_bounds=None,
):
    """Draw images with a detector's probabilities, and mark the wrong verdicts.

    Under each image a bar is divided in proportion to the probabilities of the classes, and the
    verdict stands with its probability. Of two classes the verdict is the fake one where its
    probability is at least the threshold, which has a mark at the bar; of more it is the most
    probable one. A wrong verdict has a cross, the true class, and a dashed frame. Where a detector
    is unsure there is neither cross nor frame.

    Args:
        images: Array or tensor of shape `(images, height, width, channels)`, or a list of
            images. 1 or 3 channels, uint8 or float in [0, 1].
        probabilities: Shape `(images, classes)`: what the detector predicts, in [0, 1].
        class_names: Names of the columns of `probabilities`.
        labels: True classes: one-hot of shape `(images, classes)`, as the data sets give them,
            or one integer an image, its place in `class_names`. By default unknown.
        threshold: Float in [0, 1], that of the detector. By default 0.5; only for two classes.
        fake_class: Name of the fake one of two classes, where it cannot be recognised.
        axes: Matplotlib axes to draw on, one for each image. By default those of a new figure.
        conformal_bounds: Those of a detector that abstains (see `kd.models.Detector`), which then
            decide in place of the threshold and have the marks. Only for two classes.

    Returns:
        The Matplotlib figure.

    Raises:
        ValueError: for images of another shape, dtype or value range; for probabilities or
            labels that do not fit the images and class names; for a threshold or bounds where
            there are more than two classes, or the fake one is not recognised; for too few `axes`.

    Example:
    ```python
    images = np.random.default_rng(0).uniform(size=(2, 32, 32, 3))
    figure = kd.visualization.plot_predictions(
        images, probabilities=[[0.9, 0.1], [0.4, 0.6]], labels=[[1, 0], [0, 1]], threshold=0.31
    )
    ```
    """
    images = as_images(images)
    class_names = check_class_names(class_names)
    shape = (len(images), len(class_names))
    probabilities = _check_probabilities(probabilities, shape, class_names)
    bounds = check_bounds(conformal_bounds)
    marks = ()
    if len(class_names) == 2:
        fake = find_fake(class_names, fake_class)
        level = 0.5 if threshold is None else check_number("threshold", threshold, 0, 1)
        called = name_verdicts(probabilities[:, fake], class_names, fake, level, bounds)
        verdicts = [(*class_names, UNSURE).index(name) for name in called]
        colors = [FAKE if column == fake else REAL for column in range(2)]
        if bounds is not None or threshold is not None:
            marks = [mark if fake == 0 else 1 - mark for mark in bounds or (level,)]
    elif any(argument is not None for argument in (threshold, fake_class, bounds)):
        raise ValueError(
            "`threshold`, `fake_class` and `conformal_bounds` are for two classes; got "
            f"{class_names}. Leave them out."
        )
    else:
        verdicts = probabilities.argmax(axis=1)
        colors = [OTHER_CLASSES[i % len(OTHER_CLASSES)] for i in range(len(class_names))]
    truths = verdicts if labels is None else class_numbers(labels, len(class_names))
    if len(truths) != len(images):
        raise ValueError(f"`labels` must be one for each image; got {len(truths)} for {shape[0]}.")
    names = [*map(printable, class_names), UNSURE]

    axes = figure_axes(axes, len(images), (WIDTH, HEIGHT + 2 * TEXT))
    for ax, image, row, verdict, truth in zip(
        axes, images, probabilities, verdicts, truths, strict=True
    ):
        show(ax, image)
        left = 0.0
        for share, color in zip(row / row.sum(), colors, strict=True):
            bar = Rectangle((left, -0.09), share, 0.06, color=color)
            bar.set(transform=ax.transAxes, clip_on=False, linewidth=0)
            ax.add_patch(bar)
            left += share
        for mark in marks:
            line = Line2D([mark, mark], [-0.09, -0.01], color=INK, solid_capstyle="butt")
            line.set(transform=ax.transAxes, clip_on=False)
            ax.add_artist(line)
        is_unsure = verdict == len(class_names)
        text = UNSURE if is_unsure else f"{names[verdict]} {row[verdict]:.2f}"
        if verdict != truth:
            text += f"\n(is {names[truth]})"
        if verdict != truth and not is_unsure:
            text = f"\N{BALLOT X} {text}"
            ax.spines[:].set(visible=True, linestyle=(0, (3, 2)), linewidth=2, color=INK)
        # The verdict stands at its end of the bar, in its colour: no key is needed.
        side = {0: "left", len(class_names) - 1: "right"}.get(verdict, "center")
        look = {"fontsize": LABEL_SIZE, "fontweight": "bold", "labelpad": 12, **PLAIN}
        ax.set_xlabel(text, loc=side, **look)
        ax.xaxis.label.set(color=[*colors, INK][verdict], multialignment=side)
    return axes[0].get_figure(root=True)


def _check_probabilities(probabilities, shape, class_names):
    # In the detector's own precision, in which it compares them with its threshold.
    probabilities = to_numpy(probabilities, "probabilities")
    if probabilities.shape != shape:
        raise ValueError(
            f"`probabilities` must have shape {shape}, a row for each image and a column for "
            f"each of {class_names}; got {probabilities.shape}."
        )
    if probabilities.dtype.name not in ("float32", "float64"):
        probabilities = probabilities.astype("float32")
    # Not NaN either.
    if not np.all((probabilities >= 0) & (probabilities <= 1 + TOLERANCE)):
        raise ValueError(
            f"`probabilities` must lie in [0, 1]; got values from {probabilities.min():g} to "
            f"{probabilities.max():g}. Turn logits into probabilities by a softmax first."
        )
    if not np.allclose(probabilities.sum(axis=1), 1, atol=0.02):
        raise ValueError(
            "`probabilities` of an image must sum to 1, as a softmax gives them; got sums from "
            f"{probabilities.sum(axis=1).min():g} to {probabilities.sum(axis=1).max():g}."
        )
    return probabilities
