"""How a detector does on kinds of forgery that it was not trained on."""

import dataclasses
from typing import NamedTuple

import keras
import numpy as np

from keras_deepfake._arguments import (
    MOST_PLACES,
    check_choice,
    check_image_size,
    check_integer,
    check_number,
    check_seed,
)
from keras_deepfake._classes import find_fake
from keras_deepfake._results import Result
from keras_deepfake._text import printable, text_table
from keras_deepfake.evaluation.detector_evaluation import evaluate_detector
from keras_deepfake.evaluation.report import MOST_RESAMPLES


class HeldOutKindRow(NamedTuple):
    """What a detector achieves on the one kind of forgery that it was not trained on.

    Args:
        kind: Name of the kind.
        held_out: Dictionary of the figures on its fakes among all reals: the number `n` of these
            fakes, the metrics of a `DetectionReport`, and their `intervals`.
        known: Dictionary of the same figures on the fakes of all other kinds.

    Example:
    ```python
    seen = {"n": 30, "auc": 0.95, "recall_fake": 0.9, "intervals": {"auc": (0.91, 0.98)}}
    unseen = {"n": 9, "auc": 0.71, "recall_fake": 0.4, "intervals": {"auc": (0.58, 0.84)}}
    row = kd.evaluation.HeldOutKindRow("faceswap", held_out=unseen, known=seen)
    row.known["auc"] - row.held_out["auc"]
    ```
    """

    kind: str
    held_out: dict
    known: dict


@dataclasses.dataclass(frozen=True)
class HeldOutKindReport(Result):
    """The result of `evaluate_by_held_out_kind`.

    `print(report)` shows it as a table.

    Args:
        rows: Tuple of `HeldOutKindRow`, that of the lowest AUC first.
        num_real: Number of reals that all were tested on.
        test_fraction: Float, the share of the images that were kept for the test.
        seed: Seed of the split and of the resamples.

    Example:
    ```python
    seen = {"n": 30, "auc": 0.95, "recall_fake": 0.9, "intervals": {"auc": (0.91, 0.98)}}
    unseen = {"n": 9, "auc": 0.71, "recall_fake": 0.4, "intervals": {"auc": (0.58, 0.84)}}
    row = kd.evaluation.HeldOutKindRow("faceswap", held_out=unseen, known=seen)
    report = kd.evaluation.HeldOutKindReport((row,), num_real=39, test_fraction=0.3, seed=0)
    print(report)
    report.save("kinds.csv")
    ```
    """

    rows: tuple
    num_real: int
    test_fraction: float
    seed: int

    def table(self):
        names = ("auc", "low", "high", "recall_fake")
        rows = [("kind", "num_fake", *names, *(f"known_{name}" for name in names))]
        for kind, held_out, known in self.rows:
            row = [kind, held_out["n"]]
            for part in (held_out, known):
                row += [part["auc"], *part["intervals"]["auc"], part["recall_fake"]]
            rows.append(tuple(row))
        return rows

    def kind_table(self):
        """The rows of the table as it is printed."""
        measured = ("AUC", "95 % interval", "Recall")
        rows = [("Kind", "Fakes", *measured, *(f"Known: {name}" for name in measured))]
        for kind, held_out, known in self.rows:
            row = [kind, held_out["n"]]
            for part in (held_out, known):
                row += [part["auc"], part["intervals"]["auc"], part["recall_fake"]]
            rows.append(row)
        return rows

    def __str__(self):
        return f"{self.summary()}\n\n{text_table(self.kind_table())}"

    def summary(self):
        """What was measured on what, in a sentence or two."""
        return (
            f"Of {len(self.rows)} kinds of forgery each was left out of one training. Its fakes "
            f"among {self.num_real} reals, and beside them the fakes of the kinds trained on; all "
            f"are images and groups that no training saw ({self.test_fraction:.0%} of all, seed "
            f"{self.seed}). The worst comes first."
        )


def evaluate_by_held_out_kind(
    train,
    index,
    test_fraction=0.3,
    batch_size=64,
    image_size=None,
    num_resamples=1000,
    seed=0,
    verbose=1,
    fake_class=None,
):
    """Train on all kinds of forgery but one, and test on that one; each kind in turn.

    Within the kinds that it was trained on most detectors look good. This measures what they do
    on the next kind. The images are divided once, into a training part and a test part, every
    kind in its share and no group on both sides. For each kind `train` gets the training part
    without the fakes of this kind, and what it returns is evaluated on the whole test part: on
    the fakes of this kind, and on those of the kinds that it knows, among the same reals.

    There are as many trainings as kinds. Everything is checked before the first.

    Args:
        train: Function from an `ImageIndex` to what was trained on it: a `kd.models.Detector`, or
            another model as for `evaluate_detector`. What it chooses (an epoch, a penalty, a
            threshold) it must choose on parts of this index, in which fakes are fewer than in
            `index`; it seeds itself.
        index: Labelled `ImageIndex` whose fakes have kinds, two or more. The kinds of reals are
            ignored.
        test_fraction: Float in (0, 1), the share of the images that is kept for the test.
        batch_size: Integer, images in a batch of the evaluation.
        image_size: `(height, width)` to which images are resized for the evaluation, where the
            model does not say.
        num_resamples: Integer, number of bootstrap resamples.
        seed: Integer seed of the division and of the resamples.
        verbose: 1 prints each kind and its figures, 0 prints nothing.
        fake_class: The name of the fake class, where it cannot be recognised.

    Returns:
        A `HeldOutKindReport`, the kind of the lowest AUC first.

    Raises:
        ValueError: for an index without labels, of other than two classes or of fewer than two
            kinds of fakes; for fakes without a kind, which may be of the kind that is held out;
            where a kind or the reals have too few images or groups for both parts; and for what
            `evaluate_detector` refuses.

    Example:
    ```python
    artifacts = ("blurred_face", "unnatural_skin")
    faces = kd.datasets.synthetic_faces(48, (32, 32), artifacts)
    paths = [f"{i}.png" for i in range(48)]
    for path, image in zip(paths, faces.images):
        keras.utils.save_img(path, image, scale=False)
    labels = faces.labels.argmax(axis=1)
    index = kd.datasets.ImageIndex.from_paths(paths, labels, kinds=faces.artifacts)


    def train(part):
        encoder = keras.Sequential([keras.Input((32, 32, 3)), kd.layers.ResidualCooccurrence()])
        classifier = kd.models.EncoderClassifier(encoder, part.class_names, pooling=None)
        classifier.fit_head(part, verbose=0)
        return classifier


    report = kd.evaluation.evaluate_by_held_out_kind(train, index)
    print(report)
    ```
    """
    if not callable(train):
        raise ValueError(
            "`train` must be a function from an `ImageIndex` to a trained model; got "
            f"{type(train).__name__}."
        )
    fake = _check_index(index, fake_class)
    test_fraction = check_number("test_fraction", test_fraction, above=0, below=1)
    batch_size = check_integer("batch_size", batch_size, 1, MOST_PLACES)
    if image_size is not None:
        image_size = check_image_size(image_size)
    num_resamples = check_integer("num_resamples", num_resamples, 1, MOST_RESAMPLES)
    seed = check_seed(seed)
    verbose = check_choice("verbose", verbose, (0, 1))
    training, test = _split(index, fake, test_fraction, seed)
    training_kinds, test_kinds = _kinds_of_fakes(training, fake), _kinds_of_fakes(test, fake)
    kinds = sorted(set(test_kinds.tolist()) - {""})

    rows = []
    for number, kind in enumerate(kinds, 1):
        known = training.take(np.flatnonzero(training_kinds != kind))
        if verbose:
            print(f"Kind {number} of {len(kinds)}, {printable(kind)}: training without it, {known}")
        model = train(known)
        if not isinstance(model, keras.Model):
            raise ValueError(f"`train` must return a Keras model; got {type(model).__name__}.")
        report = evaluate_detector(
            model,
            test,
            batch_size=batch_size,
            image_size=image_size,
            kinds=["held out" if other == kind else other and "known" for other in test_kinds],
            num_resamples=num_resamples,
            seed=seed,
            fake_class=fake_class,
        )
        row = HeldOutKindRow(kind, report.by_kind["held out"], report.by_kind["known"])
        rows.append(row)
        if verbose:
            print(f"  AUC {row.held_out['auc']:.3f}; of the kinds known {row.known['auc']:.3f}")
    rows.sort(key=lambda row: row.held_out["auc"])
    return HeldOutKindReport(tuple(rows), int(np.sum(test_kinds == "")), test_fraction, seed)


def _check_index(index, fake_class):
    """The number of the fake class, of an index whose fakes all have kinds."""
    if not hasattr(index, "paths") or index.labels is None:
        raise ValueError(f"`index` must be a labelled `ImageIndex`; got {index!r:.200}.")
    if len(index.class_names) != 2:
        raise ValueError(f"`index` must have two classes; got {index.class_names}.")
    fake = find_fake(index.class_names, fake_class)
    if (index.labels == fake).all():
        raise ValueError(f"`index` must hold reals; got {index!r}.")
    # An image right in its class folder has the folder's name for its kind.
    is_nameless = (index.labels == fake) & np.isin(index.kinds, ("", *index.class_names))
    if is_nameless.any():
        raise ValueError(
            f"`index` has {is_nameless.sum()} fakes without a kind, which may be of any, such as "
            f"{index.paths[np.argmax(is_nameless)]!r}. Put them into folders by kind, or leave "
            "them out."
        )
    kinds = set(_kinds_of_fakes(index, fake).tolist()) - {""}
    if len(kinds) < 2:
        raise ValueError(f"`index` must have fakes of two or more kinds; got {sorted(kinds)}.")
    return fake


def _kinds_of_fakes(index, fake):
    """The kind of every fake, and nothing for a real."""
    return np.where(index.labels == fake, index.kinds, "")


def _split(index, fake, test_fraction, seed):
    """A training and a test part, with whole groups and a share of every kind in both."""
    names, strata = np.unique(_kinds_of_fakes(index, fake), return_inverse=True)
    by_kind = dataclasses.replace(index, labels=strata, class_names=tuple(names.tolist()))
    parts = by_kind.split((1 - test_fraction, test_fraction), seed)
    for stratum, name in enumerate(names):
        if any(stratum not in part.labels for part in parts):
            ours = np.flatnonzero(strata == stratum)
            groups = {i if index.groups is None else index.groups[i] for i in ours}
            raise ValueError(
                f"`index` has too few {f'fakes of the kind {name!s}' if name else 'reals'} for "
                f"training and test at `test_fraction`={test_fraction:g}: {len(ours)} images"
                + (f" in {len(groups)} groups." if index.groups is not None else ".")
            )
    is_real = np.flatnonzero(names == "")[0]
    return [
        dataclasses.replace(
            part,
            labels=np.where(part.labels == is_real, 1 - fake, fake),
            class_names=index.class_names,
        )
        for part in parts
    ]
