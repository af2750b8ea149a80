"""Verdicts of a detector on images, whether files or arrays."""

import collections.abc
import functools
import itertools
from typing import NamedTuple

import keras
import numpy as np

from keras_deepfake._arguments import check_choice, check_integer, check_number
from keras_deepfake._classes import find_fake
from keras_deepfake._conformal import UNSURE, check_bounds, name_verdicts
from keras_deepfake._groups import check_groups, find_groups
from keras_deepfake._results import Result
from keras_deepfake._text import text_table
from keras_deepfake.faces import Face
from keras_deepfake.faces.face_cropper import check_faces
from keras_deepfake.models import as_detector
from keras_deepfake.models.image_batches import count_images, single_images
from keras_deepfake.models.log_odds import SMALLEST_REST, log_odds, sigmoid


class Prediction(NamedTuple):
    """What a detector says of one image: a row of `Predictions`.

    Attributes:
        path: String, the path of the file; of an array its place, such as `"images[3]"`, of a
            face its place on the photograph, such as `"party.jpg[0]"`, of a group its name.
        probabilities: Float32 NumPy array, one probability per class name; `None` if the image
            could not be read, or no face was found on it.
        verdict: String, the name of a class, or `"unsure"`; `None` where there are no
            probabilities.
        error: String, why there are no probabilities, such as `"no face found"`; else `None`.
        parts: `None`, or a tuple of what the verdict was made from: the `Prediction`s of the
            faces of a photograph, or of the images of a group.
        face: Of a face, the `kd.faces.Face`; else `None`.

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
    parts: tuple | None = None
    face: Face | None = None


class Predictions(Result, collections.abc.Sequence):
    """What a detector says of images: a sequence of rows, printed as a table.

    Args:
        rows: `Prediction`s, one per image.
        class_names: Strings, the classes in the order of the probabilities.
        threshold: Float, the probability of the fake class from which on the verdict is fake.
        conformal_bounds: Those of the detector, where it abstains (see `kd.models.Detector`);
            they decided the verdicts then, and not the threshold.
        of: What a row is about: `"image"`; `"photograph"`, whose parts are faces, listed below
            it in the table; or `"group"`, whose parts are images.
        fake_class: The name of the fake class, where it cannot be recognised.

    Example:
    ```python
    rows = [kd.evaluation.Prediction("face.png", np.array([0.9, 0.1]), "fake", None)]
    predictions = kd.evaluation.Predictions(rows, ("fake", "real"), threshold=0.5)
    print(predictions)
    predictions.save("predictions.csv")
    ```
    """

    def __init__(
        self, rows, class_names, threshold, conformal_bounds=None, of="image", fake_class=None
    ):
        self.rows = tuple(rows)
        self.class_names = tuple(class_names)
        self.threshold = threshold
        self.conformal_bounds = check_bounds(conformal_bounds)
        self.of = check_choice("of", of, tuple(_PARTS))
        self.fake_class = fake_class

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, position):
        rows = self.rows[position]
        return self._with(rows, self.of) if isinstance(position, slice) else rows

    def _with(self, rows, of):
        bounds = self.conformal_bounds
        return Predictions(rows, self.class_names, self.threshold, bounds, of, self.fake_class)

    def group(self, groups):
        """Gives a verdict on each person, video or whatever else several images are of.

        P(fake) of a group is the sigmoid of the mean of its images' log-odds, and the verdict
        follows by the same threshold or bounds. These were chosen for single images: what rate
        of false alarms they give for groups only labelled groups can tell. One image counts at
        most as much as a P(fake) of 1 - 3e-8, or of 3e-8; of a photograph the worst face counts.
        Images without a verdict do not count.

        Args:
            groups: Where the group of an image is found, as for
                `kd.datasets.ImageIndex.from_directory`: a compiled pattern that is searched in
                the file name, a function of the path, or a mapping from the path or file name.

        Returns:
            `Predictions` with a row a group, in the order of their first images. Its `parts` are
            the images; the table says how many of them have a verdict.

        Raises:
            ValueError: If `groups` is none of these, or knows no group for an image.

        Example:
        ```python
        import re

        rows = [
            kd.evaluation.Prediction(f"ann_{i}.png", np.array([p, 1 - p]), "real", None)
            for i, p in enumerate((0.9, 0.4))
        ]
        predictions = kd.evaluation.Predictions(rows, ("fake", "real"), threshold=0.5)
        print(predictions.group(re.compile("^[a-z]+")))  # ann, 2 images, P(fake) 0.710
        ```
        """
        check_groups(groups)
        if groups is None:
            raise ValueError("`groups` must say to which group an image belongs; got None.")
        paths = [row.path for row in self.rows]
        members = {}
        for row, name in zip(self.rows, find_groups(groups, paths, paths), strict=True):
            members.setdefault(str(name), []).append(row)
        fake = find_fake(self.class_names, self.fake_class)
        rows = []
        for name, parts in members.items():
            known = [row.probabilities[fake] for row in parts if row.probabilities is not None]
            if not known:
                rows.append(Prediction(name, None, None, "no image has a verdict", tuple(parts)))
                continue
            scores = np.clip(np.array(known, "float64"), SMALLEST_REST, 1 - SMALLEST_REST)
            score = sigmoid(log_odds(scores[:, None], 1).mean()).astype("float32")
            (verdict,) = name_verdicts(
                score[None], self.class_names, fake, self.threshold, self.conformal_bounds
            ).tolist()
            rows.append(Prediction(name, _in_order(score, fake), verdict, None, tuple(parts)))
        return self._with(rows, "group")

    def figures(self):
        return {
            "class_names": self.class_names,
            "threshold": self.threshold,
            "conformal_bounds": self.conformal_bounds,
            "of": self.of,
            "rows": [_figures(row) for row in self.rows],
        }

    def summary(self):
        """How many images were called what, in a sentence."""
        verdicts = [row.verdict for row in self.rows]
        names, rule = self.class_names, f"called fake from a probability of {self.threshold:.6g} on"
        if self.conformal_bounds is not None:
            names = (*names, UNSURE)
            low, high = sorted(self.conformal_bounds)
            rule = f"unsure at probabilities of being fake from {low:.6g} to {high:.6g}"
        counts = [f"{verdicts.count(name)} {name}" for name in names]
        errors = [row.error for row in self.rows if row.error is not None]
        faceless = errors.count(NO_FACE)
        if faceless:
            counts.append(f"{faceless} without a face")
        if len(errors) > faceless:
            what = "without a verdict" if self.of == "group" else "not readable"
            counts.append(f"{len(errors) - faceless} {what}")
        return f"{len(verdicts)} {self.of}s: {', '.join(counts)}; {rule}."

    def table(self):
        parts = _PARTS[self.of]
        name = "group" if self.of == "group" else "path"
        rows = [(name, *([parts] if parts else []), *self.class_names, "verdict", "error")]
        for row in self.rows:
            rows.append(self._cells(row))
            if self.of == "photograph":
                rows += [self._cells(face) for face in row.parts or ()]
        return rows

    def _cells(self, row):
        probabilities = [None] * len(self.class_names)
        if row.probabilities is not None:
            probabilities = [round(float(probability), 6) for probability in row.probabilities]
        count = []
        if _PARTS[self.of]:
            read = [part for part in row.parts or () if part.probabilities is not None]
            count = [None if row.parts is None else len(read)]
        return (row.path, *count, *probabilities, row.verdict, row.error)

    def __str__(self):
        return text_table(self.table())


# What the parts of a row are called.
_PARTS = {"image": None, "photograph": "faces", "group": "images"}
NO_FACE = "no face found"


def _figures(row):
    figures = {
        "path": row.path,
        "probabilities": np.asarray(row.probabilities).tolist(),
        "verdict": row.verdict,
        "error": row.error,
    }
    if row.parts is not None:
        figures["parts"] = [_figures(part) for part in row.parts]
    if row.face is not None:
        figures["face"] = {
            "confidence": row.face.confidence,
            "points": np.asarray(row.face.points).tolist(),
        }
    return figures


def _in_order(score, fake_index):
    """The probabilities of both classes."""
    return np.array([score, 1 - score] if fake_index == 0 else [1 - score, score])


def predict_images(
    model,
    images,
    batch_size=32,
    threshold=None,
    class_names=None,
    verbose=0,
    image_size=None,
    fake_class=None,
    faces=None,
):
    """Asks a detector for its verdict on files, folders or arrays of images.

    Every image is one row, in the order in which it was given, and one that cannot be read is a
    row with the reason. Files are read by `kd.datasets.load_image`, and images are resized to the
    input of the model; a model that takes any size gets them as they are. The verdict is the fake
    class where its probability reaches the threshold; a detector that abstains may be unsure.

    With `faces` the images are photographs: their faces are found and cut out first, each face
    gets a verdict, and the photograph has that of the face that is most probably fake. A
    photograph without a face is a row that says so. The more faces there are, the likelier it is
    that one of them is called fake by mistake.

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
        faces: A `kd.faces.FaceCropper` for photographs; `None` for images of one face each.

    Returns:
        `Predictions`, a sequence of rows with `path`, `probabilities`, `verdict` and `error`; of
        photographs also `parts`, a row for each face, the largest first.

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
    check_faces(faces)
    progress = keras.utils.Progbar(count_images(images), unit_name="image", verbose=verbose)
    predict = _predict_images if faces is None else functools.partial(_predict_faces, faces)
    rows = predict(detector, images, batch_size, threshold, progress)
    progress.update(len(rows), finalize=True)
    if threshold is None:
        threshold, bounds = detector.threshold, detector.conformal_bounds
    else:
        bounds = None
    return Predictions(
        rows,
        detector.class_names,
        threshold,
        bounds,
        of="image" if faces is None else "photograph",
        fake_class=detector.class_names[detector.fake_index],
    )


def _predict_images(detector, images, batch_size, threshold, progress=None):
    found, scores = [], []
    for batch, batch_scores in detector.score_batches(images, batch_size):
        found += [(image.name, image.problem) for image in batch.images]
        scores.append(batch_scores)
        if progress is not None:
            progress.update(len(found), finalize=False)
    paths = [name for name, problem in found if problem is None]
    rows = iter(
        scored_rows(detector, paths, np.concatenate([[], *scores], dtype="float32"), threshold)
    )
    return [
        next(rows) if problem is None else Prediction(name, None, None, problem)
        for name, problem in found
    ]


def scored_rows(detector, paths, scores, threshold=None):
    """The rows of images that a detector has scored already."""
    verdicts = detector.verdicts_of(scores, threshold).tolist()
    return [
        Prediction(path, _in_order(score, detector.fake_index), verdict, None)
        for path, score, verdict in zip(paths, scores, verdicts, strict=True)
    ]


def _predict_faces(cropper, detector, photographs, batch_size, threshold, progress):
    found = []

    def crops():
        for photograph in single_images(photographs):
            faces = [] if photograph.pixels is None else cropper.find(photograph.pixels)
            found.append((photograph._replace(pixels=None), faces))
            progress.update(len(found), finalize=False)
            for face in faces:
                yield cropper.crop(photograph.pixels, face)

    # The faces of several photographs share a batch.
    rows = iter(_predict_images(detector, crops(), batch_size, threshold))
    return [
        _photograph_row(photograph, faces, itertools.islice(rows, len(faces)), detector.fake_index)
        for photograph, faces in found
    ]


def _photograph_row(photograph, faces, rows, fake_index):
    if photograph.problem is not None:
        return Prediction(photograph.name, None, None, photograph.problem)
    if not faces:
        return Prediction(photograph.name, None, None, NO_FACE, ())
    parts = tuple(
        row._replace(path=f"{photograph.name}[{place}]", face=face)
        for place, (row, face) in enumerate(zip(rows, faces, strict=True))
    )
    worst = max(parts, key=lambda part: part.probabilities[fake_index])
    return Prediction(photograph.name, worst.probabilities, worst.verdict, None, parts)
