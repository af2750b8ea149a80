"""Verdicts of a detector on images, whether files or arrays."""

import collections.abc
from typing import NamedTuple

import keras
import numpy as np

from keras_deepfake._arguments import check_integer, check_number
from keras_deepfake._conformal import UNSURE, check_bounds
from keras_deepfake._results import Result
from keras_deepfake._text import text_table
from keras_deepfake.models import as_detector
from keras_deepfake.models.image_batches import count_images


class Prediction(NamedTuple):
    """What a detector says of one image: a row of `Predictions`.

    Attributes:
        path: String, the path of the file; of an array its place, such as `"images[3]"`.
        probabilities: Float32 NumPy array, one probability per class name; `None` if the image
            could not be read.
        verdict: String, the name of a class, or `"unsure"`; `None` if the image could not be read.
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


class Predictions(Result, collections.abc.Sequence):
    """What a detector says of images: a sequence of rows, printed as a table.

    Args:
        rows: `Prediction`s, one per image.
        class_names: Strings, the classes in the order of the probabilities.
        threshold: Float, the probability of the fake class from which on the verdict is fake.
        conformal_bounds: Those of the detector, where it abstains (see `kd.models.Detector`);
            they decided the verdicts then, and not the threshold.

    Example:
    ```python
    rows = [kd.evaluation.Prediction("face.png", np.array([0.9, 0.1]), "fake", None)]
    predictions = kd.evaluation.Predictions(rows, ("fake", "real"), threshold=0.5)
    print(predictions)
    predictions.save("predictions.csv")
    ```
    """

    def __init__(self, rows, class_names, threshold, conformal_bounds=None):
        self.rows = tuple(rows)
        self.class_names = tuple(class_names)
        self.threshold = threshold
        self.conformal_bounds = check_bounds(conformal_bounds)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, position):
        if isinstance(position, slice):
            return Predictions(
                self.rows[position], self.class_names, self.threshold, self.conformal_bounds
            )
        return self.rows[position]

    def figures(self):
        return {
            "class_names": self.class_names,
            "threshold": self.threshold,
            "conformal_bounds": self.conformal_bounds,
            "rows": [
                {**row._asdict(), "probabilities": np.asarray(row.probabilities).tolist()}
                for row in self.rows
            ],
        }

    def summary(self):
        """How many images were called what, in a sentence."""
        verdicts = [row.verdict for row in self.rows]
        names, rule = self.class_names, f"called fake from a probability of {self.threshold:.3g} on"
        if self.conformal_bounds is not None:
            names = (*names, UNSURE)
            low, high = sorted(self.conformal_bounds)
            rule = f"unsure at probabilities of being fake from {low:.3g} to {high:.3g}"
        counts = [f"{verdicts.count(name)} {name}" for name in names]
        unread = f", {verdicts.count(None)} not readable" if None in verdicts else ""
        return f"{len(verdicts)} images: {', '.join(counts)}{unread}; {rule}."

    def table(self):
        rows = [("path", *self.class_names, "verdict", "error")]
        for path, probabilities, verdict, error in self.rows:
            cells = [None] * len(self.class_names)
            if probabilities is not None:
                cells = [round(float(probability), 6) for probability in probabilities]
            rows.append((path, *cells, verdict, error))
        return rows

    def __str__(self):
        return text_table(self.table())


def predict_images(
    model,
    images,
    batch_size=32,
    threshold=None,
    class_names=None,
    verbose=0,
    image_size=None,
    fake_class=None,
):
    """Asks a detector for its verdict on files, folders or arrays of images.

    Every image is one row, in the order in which it was given, and one that cannot be read is a
    row with the reason. Files are read by `kd.datasets.load_image`, and images are resized to the
    input of the model; a model that takes any size gets them as they are. The verdict is the fake
    class where its probability reaches the threshold; a detector that abstains may be unsure.

    Args:
        model: A `kd.models.Detector`, an `EncoderClassifier`, or any Keras model from images in
            [0, 1] to two columns of probabilities, or one: that of class number 1.
        images: The path of an image or of a folder (searched recursively; files that begin with
            a dot are ignored), an array, an `ImageIndex`, a dataset of batches, or an iterable of
            these. Arrays have the shape `(height, width, 3)` or `(batch, height, width, 3)` and
            are uint8 in 0-255 or floating point in 0-1.
        batch_size: Positive integer, how many images the model gets at a time.
        threshold: Float in [0, 1] that decides every verdict, also of a detector that abstains.
            `None` leaves it to the detector; the threshold of other models is 0.5.
        class_names: Strings, the classes in the order of the columns, for plain Keras models. An
            `ImageIndex` tells them too.
        verbose: 1 shows a progress bar, 0 shows none.
        image_size: `(height, width)` to which images are resized, where the model does not say.
        fake_class: The name of the fake class, where it cannot be recognised.

    Returns:
        `Predictions`, a sequence of rows with `path`, `probabilities`, `verdict` and `error`.

    Raises:
        ValueError: If an array is not as described, the model is not, nothing says which class
            is fake, or the outputs are no probabilities.

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
    verbose = check_integer("verbose", verbose, 0, 2)
    detector = as_detector(model, class_names, fake_class, image_size, images)
    if threshold is not None:
        threshold = check_number("threshold", threshold, 0, 1)
    fake = detector.fake_index
    rows = []
    progress = keras.utils.Progbar(count_images(images), unit_name="image", verbose=verbose)
    for batch, scores in detector.score_batches(images, batch_size):
        if batch.images[0].problem is not None:
            rows.append(Prediction(batch.images[0].name, None, None, batch.images[0].problem))
        verdicts = detector.verdicts_of(scores, threshold).tolist()
        for image, score, verdict in zip(batch.images, scores, verdicts, strict=False):
            probabilities = np.array([score, 1 - score] if fake == 0 else [1 - score, score])
            rows.append(Prediction(image.name, probabilities, verdict, None))
        progress.update(len(rows), finalize=False)
    progress.update(len(rows), finalize=True)
    if threshold is None:
        threshold, bounds = detector.threshold, detector.conformal_bounds
    else:
        bounds = None
    return Predictions(rows, detector.class_names, threshold, bounds)
