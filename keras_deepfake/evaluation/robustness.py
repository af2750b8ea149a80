"""How a detector holds when images are compressed, blurred, resized or otherwise changed."""

import dataclasses
from typing import NamedTuple

import keras
import numpy as np

from keras_deepfake._arguments import check_integer, check_number, check_seed
from keras_deepfake._results import Result
from keras_deepfake._text import text_table
from keras_deepfake.evaluation import _corruptions as apply
from keras_deepfake.evaluation._detection_metrics import detection_metrics
from keras_deepfake.evaluation.curves import check_truth_and_scores
from keras_deepfake.models import as_detector
from keras_deepfake.models.image_batches import count_images, image_layout

# Levels by default, the range of levels, and the words for one.
CORRUPTIONS = {
    "jpeg": ((100, 90, 75, 50, 30), (1, 100), "JPEG quality {:g}"),
    "blur": ((0.5, 1, 2, 4), (0.1, 100), "Blur, \N{GREEK SMALL LETTER SIGMA} {:g} px"),
    "resize": ((0.25, 0.5, 0.75, 1.5), (0.01, 10), "Resized \N{MULTIPLICATION SIGN}{:g} and back"),
    "noise": ((2, 5, 10, 20), (0, 255), "Noise, \N{GREEK SMALL LETTER SIGMA} {:g}/255"),
    "crop": ((0.05, 0.1, 0.2), (0, 0.9), "Cropped by {:.0%}"),
    "brightness": ((-0.2, -0.1, 0.1, 0.2), (-1, 10), "Brightness {:+.0%}"),
}


class RobustnessRow(NamedTuple):
    """What a detector achieves under one corruption at one level.

    Args:
        corruption: Name of the corruption, or `"clean"`.
        level: Its level; `None` for the clean images.
        auc: Area under the ROC curve.
        recall_fake: Of the fakes, those called fake.
        recall_real: Of the reals, those called real.

    Example:
    ```python
    row = kd.evaluation.RobustnessRow("jpeg", 50, 0.81, 0.7, 0.75)
    row.label  # 'JPEG quality 50'
    ```
    """

    corruption: str
    level: float | None
    auc: float
    recall_fake: float
    recall_real: float

    @property
    def label(self):
        """The corruption and its level in words."""
        if self.level is None:
            return "Unchanged"
        _, _, words = CORRUPTIONS[self.corruption]
        return words.format(self.level)


@dataclasses.dataclass(frozen=True)
class RobustnessReport(Result):
    """The result of `evaluate_robustness`.

    `print(report)` shows it as a table.

    Args:
        rows: Tuple of `RobustnessRow`, the clean images first.
        threshold: Float; an image is called fake when its score is at least this.
        num_fake: Number of fakes.
        num_real: Number of reals.
        seed: Seed of the noise.

    Example:
    ```python
    rows = (
        kd.evaluation.RobustnessRow("clean", None, 0.92, 0.85, 0.83),
        kd.evaluation.RobustnessRow("jpeg", 50, 0.81, 0.7, 0.75),
    )
    report = kd.evaluation.RobustnessReport(
        rows, threshold=0.5, num_fake=400, num_real=400, seed=0
    )
    print(report)
    ```
    """

    rows: tuple
    threshold: float
    num_fake: int
    num_real: int
    seed: int

    def table(self):
        return [RobustnessRow._fields, *self.rows]

    def __str__(self):
        rows = [("", "AUC", "recall fake", "recall real")]
        rows += [(row.label, row.auc, row.recall_fake, row.recall_real) for row in self.rows]
        return f"{self.summary()}\n\n{text_table(rows)}"

    def summary(self):
        """What was measured on what, in a sentence."""
        return (
            f"Robustness on {self.num_fake} fakes and {self.num_real} reals; an image is called "
            f"fake when its probability is at least {self.threshold:g}."
        )


def evaluate_robustness(
    model,
    index_or_dataset,
    corruptions=None,
    threshold=None,
    batch_size=64,
    image_size=None,
    seed=0,
    verbose=0,
    class_names=None,
    fake_class=None,
):
    """Measure how a detector holds when its images are changed.

    Images on the web are compressed, resized and cropped many times over, and detectors that
    look at the finest traces fail there first. Each corruption is applied at each of its levels
    to every image as the model is given it, that is after resizing to the model's input, on 8
    bits a value. The recalls are those at one threshold for all levels: a detector whose AUC
    holds while all of its verdicts turn to "fake" needs another threshold, not other features.

    | name | level | default |
    |---|---|---|
    | `"jpeg"` | quality, 1 to 100, chroma 4:2:0, encoded by Pillow | 100, 90, 75, 50, 30 |
    | `"blur"` | standard deviation of a Gaussian in pixels | 0.5, 1, 2, 4 |
    | `"resize"` | factor of both sides, then back, bicubic | 0.25, 0.5, 0.75, 1.5 |
    | `"noise"` | standard deviation of Gaussian noise in grey levels of 255 | 2, 5, 10, 20 |
    | `"crop"` | share cut off both sides, evenly, then resized back | 0.05, 0.1, 0.2 |
    | `"brightness"` | change of all values, -0.2 for 20 % darker | -0.2, -0.1, 0.1, 0.2 |

    The data is read once, and one batch of it is held at a time.

    Args:
        model: A Keras model, as for `evaluate_detector`.
        index_or_dataset: Labelled images, as for `evaluate_detector`: an `ImageIndex`, a tuple
            `(images, labels)` of arrays, or a dataset of such batches.
        corruptions: Dictionary from names of the table to sequences of levels. By default all
            of the table.
        threshold: Float in [0, 1]; an image is called fake when its score is at least this. By
            default the model's own (see `calibrate`), else 0.5.
        batch_size: Integer, images in a batch.
        image_size: `(height, width)` to which images are resized, where the model does not say.
        seed: Integer. Seed of the noise, which depends on it and on the position of the image,
            and at all levels has the same pattern.
        verbose: 1 for a progress bar, 0 for none.
        class_names: Strings, the classes in the order of the labels, for plain Keras models.
        fake_class: The name of the fake class, where it cannot be recognised.

    Returns:
        A `RobustnessReport`.

    Raises:
        ValueError: for a corruption or level that is not in the table, images of neither 1 nor
            3 channels, and what `evaluate_detector` refuses.

    Example:
    ```python
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    )
    images = np.random.default_rng(0).random((20, 16, 16, 3), "float32")
    report = kd.evaluation.evaluate_robustness(
        model,
        (images, [1, 0] * 10),
        corruptions={"jpeg": (90, 50), "blur": (1,)},
        class_names=("fake", "real"),
    )
    print(report)
    ```
    """
    settings = [("clean", None), *_check_corruptions(corruptions)]
    seed = check_seed(seed)
    verbose = check_integer("verbose", verbose, 0, 2)
    detector = as_detector(model, class_names, fake_class, image_size, index_or_dataset)
    threshold = (
        detector.threshold if threshold is None else check_number("threshold", threshold, 0, 1)
    )
    channels, channels_first = image_layout(detector.input_shape)
    if channels not in (1, 3):
        raise ValueError(f"The model must take images of 1 or 3 channels; it takes {channels}.")

    is_fake, all_scores = [], []
    progress = keras.utils.Progbar(
        count_images(index_or_dataset), verbose=verbose, unit_name="image"
    )
    for batch, clean_scores in detector.score_batches(index_or_dataset, batch_size, labelled=True):
        batch.check_read()
        scores = [clean_scores]
        pixels = np.moveaxis(batch.pixels, 1, -1) if channels_first else batch.pixels
        pixels = np.rint(pixels * 255).astype("uint8")
        for corruption, level in settings[1:]:
            corrupted = [
                _corrupt(image, corruption, level, (seed, len(is_fake) + place))
                for place, image in enumerate(pixels)
            ]
            corrupted = np.stack(corrupted).astype("float32") / 255
            if channels_first:
                corrupted = np.moveaxis(corrupted, -1, 1)
            scores.append(detector.score_pixels(corrupted))
        is_fake += [image.label == detector.fake_index for image in batch.images]
        all_scores.append(np.stack(scores))
        progress.update(len(is_fake), finalize=False)
    progress.update(len(is_fake), finalize=True)
    all_scores = np.concatenate(all_scores, axis=1) if all_scores else np.zeros((1, 0))

    rows = []
    for (corruption, level), scores in zip(settings, all_scores, strict=True):
        fake, scores = check_truth_and_scores(is_fake, scores)
        order = np.argsort(-scores, kind="stable")
        metrics = detection_metrics(fake[order], scores[order], np.ones((1, len(fake))), threshold)
        values = [float(metrics[name][0]) for name in RobustnessRow._fields[2:]]
        rows.append(RobustnessRow(corruption, level, *values))
    return RobustnessReport(tuple(rows), threshold, int(fake.sum()), int((~fake).sum()), seed)


def _check_corruptions(corruptions):
    """All pairs of a corruption and a level."""
    if corruptions is None:
        corruptions = {name: levels for name, (levels, _, _) in CORRUPTIONS.items()}
    if not isinstance(corruptions, dict):
        raise ValueError(
            "`corruptions` must be a dictionary from names to levels, such as "
            f'{{"jpeg": (90, 50)}}; got {corruptions!r}.'
        )
    settings = []
    for name, levels in corruptions.items():
        if name not in CORRUPTIONS:
            raise ValueError(
                f"`corruptions` must be among {', '.join(map(repr, CORRUPTIONS))}; got {name!r}."
            )
        _, (low, high), _ = CORRUPTIONS[name]
        for level in levels if isinstance(levels, (list, tuple, np.ndarray)) else [levels]:
            level = check_number(f"corruptions[{name!r}]", level, low, high)
            if name == "jpeg" and not level.is_integer():
                raise ValueError(f"`corruptions['jpeg']` must hold integers; got {level}.")
            settings.append((name, int(level) if name == "jpeg" else level))
    return settings


def _corrupt(image, corruption, level, seed):
    if corruption == "noise":
        return apply.noise(image, level, np.random.default_rng(seed))
    return getattr(apply, corruption)(image, level)
