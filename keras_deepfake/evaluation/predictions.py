"""Verdicts of a detector on images, whether files or arrays."""

import collections.abc
import csv
import os
from typing import NamedTuple

import keras
import numpy as np


class Prediction(NamedTuple):
    """What a detector says of one image: a row of `Predictions`.

    Attributes:
        path: String, the path of the file; of an array its place, such as `"images[3]"`.
        probabilities: Float32 NumPy array, one probability per class name; `None` if the image
            could not be read.
        verdict: String, the name of a class; `None` if the image could not be read.
        error: String, why the image could not be read; `None` if it was.

    Example:
    ```python
    row = kd.evaluation.Prediction("face.png", np.array([0.9, 0.1]), "fake", None)
    row.verdict  # 'fake'
    ```
    """

    path: str
    probabilities: np.ndarray | None
    verdict: str | None
    error: str | None


class Predictions(collections.abc.Sequence):
    """What a detector says of images: a sequence of rows, printed as a table.

    Args:
        rows: `Prediction`s, one per image.
        class_names: Strings, the classes in the order of the probabilities.
        threshold: Float, the probability of the fake class from which on the verdict is fake;
            `None` if the verdict is the most probable class.

    Example:
    ```python
    rows = [kd.evaluation.Prediction("face.png", np.array([0.9, 0.1]), "fake", None)]
    predictions = kd.evaluation.Predictions(rows, ("fake", "real"), threshold=0.5)
    print(predictions)
    predictions.to_csv("predictions.csv")
    ```
    """

    def __init__(self, rows, class_names, threshold):
        self.rows = tuple(rows)
        self.class_names = tuple(class_names)
        self.threshold = threshold

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, position):
        if isinstance(position, slice):
            return Predictions(self.rows[position], self.class_names, self.threshold)
        return self.rows[position]

    def _table(self, digits):
        yield ["path", *self.class_names, "verdict", "error"]
        for path, probabilities, verdict, error in self.rows:
            cells = [""] * len(self.class_names)
            if probabilities is not None:
                cells = [f"{probability:.{digits}f}" for probability in probabilities]
            yield [path, *cells, verdict or "", error or ""]

    def __str__(self):
        # A file name need not be text in any encoding.
        table = [
            [cell.encode(errors="surrogateescape").decode(errors="replace") for cell in row]
            for row in self._table(digits=4)
        ]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        numbers = range(1, 1 + len(self.class_names))
        return "\n".join(
            "  ".join(
                cell.rjust(width) if i in numbers else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in table
        )

    def to_csv(self, path):
        """Writes the rows to a CSV file: `path`, a column per class, `verdict`, `error`.

        The file appears only when it is complete. Names of files are written as they are: a
        spreadsheet may take one that begins with `=` for a formula.

        Args:
            path: Path of the file, which is replaced if it exists.
        """
        temporary = f"{os.fspath(path)}.tmp"
        with open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            csv.writer(file).writerows(self._table(digits=6))
        os.replace(temporary, path)


def predict_images(model, images, batch_size=32, threshold=None, class_names=None, verbose=0):
    """Asks a detector for its verdict on files, folders or arrays of images.

    Every image is one row, in the order in which it was given, and one that cannot be read is a
    row with the reason. Files are read by `kd.datasets.load_image`, and all images are resized
    to the input of the model; a model that takes any size gets them as they are. The verdict is
    the class named `"fake"` (else the first) where its probability reaches the threshold; with
    more than two classes it is the most probable one.

    Args:
        model: A Keras model from RGB images in [0, 1] to one probability per class, or to the
            probability of the fake class alone.
        images: The path of an image or of a folder (searched recursively; files that begin with
            a dot are ignored), an array, or a list of these. Arrays have the shape `(height,
            width, 3)` or `(batch, height, width, 3)` and are uint8 in 0–255 or floating point
            in 0–1.
        batch_size: Positive integer, how many images the model gets at a time.
        threshold: Float in [0, 1]. `None` takes `model.threshold` where the model has one, else
            0.5.
        class_names: Strings, the classes in the order of the columns. `None` takes
            `model.class_names` where the model has them, else `("fake", "real")`.
        verbose: 1 shows a progress bar, 0 shows none.

    Returns:
        `Predictions`, a sequence of rows with `path`, `probabilities`, `verdict` and `error`.

    Raises:
        ValueError: If an array is not as described, the model does not fit the description, or
            its outputs are no probabilities.

    Example:
    ```python
    encoder = keras.Sequential([keras.Input((16, 16, 3)), kd.layers.ConvBlock(4)])
    model = kd.models.EncoderClassifier(encoder)
    keras.utils.save_img("face.png", np.zeros((32, 32, 3)), scale=False)
    predictions = kd.evaluation.predict_images(model, ["face.png", np.ones((16, 16, 3))])
    print(predictions)
    predictions[0].verdict, predictions[1].path  # ('fake', 'images[1]')
    ```
    """
    height, width, channels_first = _image_shape(model)
    class_names, columns = _class_names(model, class_names)
    fake = class_names.index("fake") if "fake" in class_names else 0
    threshold = _threshold(model, threshold, class_names)
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"`batch_size` must be a positive integer; got {batch_size!r}.")

    entries = list(_entries(images))
    rows = [None] * len(entries)
    progress = keras.utils.Progbar(len(entries), unit_name="image", verbose=verbose)
    batch, positions = [], []

    def predict():
        x = np.stack(batch)
        outputs = np.asarray(model.predict_on_batch(np.moveaxis(x, 3, 1) if channels_first else x))
        outputs = _probabilities(outputs.astype("float32"), columns, fake)
        for position, probabilities in zip(positions, outputs, strict=True):
            if threshold is None:
                verdict = class_names[int(np.argmax(probabilities))]
            else:
                verdict = class_names[fake if probabilities[fake] >= threshold else 1 - fake]
            rows[position] = Prediction(entries[position][0], probabilities, verdict, None)
        batch.clear()
        positions.clear()

    for position, (path, array, problem) in enumerate(entries):
        try:
            if problem is not None:
                raise ValueError(problem)
            image = _read(path, array, (height, width))
        except ValueError as error:
            # The path has a column of its own.
            reason = str(error).removeprefix(f"`path`={path!r} cannot be read: ").rstrip(".")
            rows[position] = Prediction(path, None, None, reason)
        else:
            if batch and (len(batch) == batch_size or image.shape != batch[0].shape):
                predict()
            batch.append(image)
            positions.append(position)
        progress.update(position + 1, finalize=False)
    if batch:
        predict()
    if entries:
        progress.update(len(entries), finalize=True)
    return Predictions(rows, class_names, threshold)


def _image_shape(model):
    """Height and width (`None` where open), and whether the channels come first."""
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(
            f"`model` must be a Keras model that is built; got {model!r}. Load one with "
            "`keras.saving.load_model`, after `import keras_deepfake`."
        )
    # Subclassed models do not tell the shape of their input.
    shape = getattr(model, "input_shape", (None, None, None, 3))
    if isinstance(shape, tuple) and len(shape) == 4:
        if shape[3] == 3:
            return *shape[1:3], False
        if shape[1] == 3:
            return *shape[2:], True
    raise ValueError(
        "`model` must take one batch of RGB images, of shape (batch, height, width, 3) or (batch, "
        f"3, height, width); {model.name!r} takes {shape}."
    )


def _class_names(model, class_names):
    """The names, and how many columns the model gives: one may stand for two classes."""
    if class_names is None:
        class_names = getattr(model, "class_names", None) or ("fake", "real")
    class_names = tuple(class_names)
    shape = getattr(model, "output_shape", (None, len(class_names)))
    allowed = (1, 2) if len(class_names) == 2 else (len(class_names),)
    if not isinstance(shape, tuple) or len(shape) != 2 or shape[1] not in allowed:
        raise ValueError(
            f"`model` must give one probability for each of `class_names`={class_names} (or, of "
            f"two classes, for the fake one alone); {model.name!r} gives outputs of shape {shape}."
        )
    return class_names, shape[1]


def _threshold(model, threshold, class_names):
    if len(class_names) > 2:
        if threshold is not None:
            raise ValueError(
                f"`threshold` needs two classes; got threshold={threshold} with {class_names}."
            )
        return None
    if threshold is None:
        threshold = getattr(model, "threshold", None)
    threshold = 0.5 if threshold is None else float(threshold)
    if not 0 <= threshold <= 1:
        raise ValueError(f"`threshold` must be a probability, from 0 to 1; got {threshold}.")
    return threshold


def _entries(images, place="images"):
    """Yields the path and, of arrays, the checked array, or why a file is no image."""
    if isinstance(images, (str, os.PathLike)):
        path = os.fsdecode(images)
        if not os.path.isdir(path):
            yield path, None, None
            return
        # TensorFlow loads only where images are read.
        from keras_deepfake.datasets.image_files import walk_images

        problems = []
        found = dict.fromkeys(os.path.join(path, name) for name in walk_images(path, "", problems))
        for file, problem in sorted({**found, **dict(problems)}.items()):
            yield file, None, problem
    elif isinstance(images, (list, tuple)):
        for i, item in enumerate(images):
            yield from _entries(item, f"{place}[{i}]")
    else:
        array = keras.ops.convert_to_numpy(images)
        _check_array(array, place)
        if array.ndim == 3:
            yield place, array, None
        else:
            for i, image in enumerate(array):
                yield f"{place}[{i}]", image, None


def _check_array(array, place):
    wanted = (
        "Give RGB images of shape (height, width, 3) or (batch, height, width, 3), uint8 in 0-255 "
        "or floating point in 0-1."
    )
    if array.ndim not in (3, 4) or array.shape[-1] != 3 or 0 in array.shape:
        raise ValueError(f"`{place}` has shape {array.shape}. {wanted}")
    if array.dtype == np.uint8:
        return
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(
            f"`{place}` has dtype {array.dtype}, whose range of values is unknown. {wanted}"
        )
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 1):  # NaN compares false
        found = "NaN" if np.isnan(low) else f"values from {low:g} to {high:g}"
        raise ValueError(f"`{place}` is floating point and holds {found}. {wanted}")


def _read(path, array, image_size):
    from keras_deepfake.datasets.image_files import load_image, resize_image

    image_size = None if None in image_size else image_size
    if array is None:
        return load_image(path, image_size)
    if image_size is None or array.shape[:2] == image_size:
        return array.astype("float32") / (255 if array.dtype == np.uint8 else 1)
    if array.dtype != np.uint8:
        array = array.astype("float32") * 255
    return np.asarray(resize_image(array, image_size))


def _probabilities(outputs, columns, fake):
    if not np.all((outputs >= 0) & (outputs <= 1)):
        raise ValueError(
            f"`model` must give probabilities; its outputs range from {outputs.min():g} to "
            f"{outputs.max():g}. Logits need a softmax or sigmoid at the end of the model."
        )
    if columns == 1:
        outputs = np.concatenate([outputs, 1 - outputs], axis=1)
        return outputs if fake == 0 else outputs[:, ::-1]
    return outputs
