"""A detection report of a Keras model."""

import dataclasses

import keras
import numpy as np

from keras_deepfake.evaluation.calibration import MAX_DIGESTS
from keras_deepfake.evaluation.report import Mistake, detection_report
from keras_deepfake.evaluation.scoring import digests, fake_scores, scored_batches

# Mistakes of each class that a report shows.
NUM_MISTAKES = 8
# Share of images known from calibration up to which a report is still made: a few duplicates are
# the data's fault and change little, more are a mistake of the evaluation.
MAX_SEEN = 0.01


def evaluate_detector(
    model,
    index_or_dataset,
    threshold=None,
    batch_size=64,
    image_size=None,
    groups=None,
    kinds=None,
    num_resamples=1000,
    seed=0,
    verbose=0,
):
    """Evaluate any Keras model that tells fake from real images.

    The score of an image is the model's probability of its being fake: in two columns the
    column of the class named `"fake"` in `model.class_names`, else column 0; in one column
    that column. Evaluate on images that neither training, nor the choice of an epoch or a
    hyperparameter, nor calibration has seen.

    Args:
        model: A Keras model that takes images with values in [0, 1] and returns probabilities
            in one or two columns.
        index_or_dataset: The labelled images: an `ImageIndex`; a tuple `(images, labels)` of
            arrays; or a dataset (`tf.data`, `PyDataset`, any iterable) of such batches. Labels
            in two columns are one-hot in the order of the model's classes; labels in one are 1
            for fake, whatever the model's output.
        threshold: Float in [0, 1]; an image is called fake when its score is at least this. By
            default the model's own (see `calibrate`), else 0.5.
        batch_size: Integer, images in a batch; a dataset has batches of its own.
        image_size: `(height, width)` to which the images of an index are resized. By default
            the size of the model's input.
        groups: Group of each image in the order of the data, for the intervals. By default
            those of the index.
        kinds: Kind of forgery of each image in the order of the data. By default those of the
            index.
        num_resamples: Integer, number of bootstrap resamples.
        seed: Integer seed of the resamples.
        verbose: 1 for a progress bar, 0 for none.

    Returns:
        A `DetectionReport`, with the most confident mistakes.

    Raises:
        ValueError: for pixel values outside [0, 1]; outputs that are not probabilities, as
            logits; more than two classes; one class only; the images that calibrated the
            model; and everything that `detection_report` refuses.

    Example:
    ```python
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    )
    images = np.random.default_rng(0).random((20, 8, 8, 3), "float32")
    report = kd.evaluation.evaluate_detector(model, (images, [1, 0] * 10))
    report.metrics["auc"]
    ```
    """
    is_index = hasattr(index_or_dataset, "paths")
    if is_index:
        groups = index_or_dataset.groups if groups is None else groups
        if kinds is None:
            # An image right in its class folder has the folder's name for its kind.
            folders = index_or_dataset.class_names or ()
            kinds = [None if kind in folders else kind for kind in index_or_dataset.kinds]
    threshold, source = _threshold(model, threshold)

    seen = set(getattr(model, "validation_digests", ()))
    # Those are the lowest digests of a large validation set: a sample, known by its highest.
    is_sample = len(seen) >= MAX_DIGESTS
    highest_kept = max(seen) if is_sample else None
    all_labels, all_scores, mistakes = [], [], []
    position = num_seen = num_comparable = 0
    total = len(index_or_dataset) if is_index else None
    progress = keras.utils.Progbar(total, verbose=verbose, unit_name="image")
    for images, labels, outputs in scored_batches(model, index_or_dataset, batch_size, image_size):
        names = [
            index_or_dataset.paths[place] if is_index else f"image {place}"
            for place in range(position, position + len(images))
        ]
        position += len(images)
        progress.update(position)
        if seen:
            found = digests(images)
            num_seen += sum(digest in seen for digest in found)
            num_comparable += sum(not is_sample or digest <= highest_kept for digest in found)
        scores = fake_scores(model, outputs)
        all_labels.append(labels)
        all_scores.append(scores)
        for place in np.flatnonzero((scores >= threshold) != (labels == 1)):
            mistakes.append(
                Mistake(images[place], bool(labels[place]), float(scores[place]), names[place])
            )
        mistakes = _most_confident(mistakes)
    # One image in a sample may be a chance.
    if num_seen > max(MAX_SEEN * num_comparable, is_sample):
        raise ValueError(
            f"Of {num_comparable} images that can be compared, {num_seen} are among those that "
            "calibrated this model. Evaluate it on images that it has not seen."
        )
    report = detection_report(
        np.concatenate(all_labels) if all_labels else [],
        np.concatenate(all_scores) if all_scores else [],
        groups=groups,
        kinds=kinds,
        threshold=threshold,
        num_resamples=num_resamples,
        seed=seed,
    )
    notes = report.notes
    if num_seen > 0:
        compared = f"the {num_comparable} comparable" if is_sample else "the"
        notes += (f"{num_seen} of {compared} images are among those that calibrated the model.",)
    return dataclasses.replace(
        report, threshold_source=source, notes=notes, mistakes=tuple(mistakes)
    )


def _threshold(model, threshold):
    if threshold is not None:
        return threshold, "stated by the caller"
    threshold = getattr(model, "threshold", None)
    if threshold is None:
        return 0.5, "the default, not chosen on validation images"
    source = "stored in the model, chosen on validation images"
    rate = getattr(model, "false_positive_rate", None)
    if rate is not None:
        source += f" for a false-positive rate of at most {100 * rate:g} %"
    return threshold, source


def _most_confident(mistakes):
    """The reals scored highest and the fakes scored lowest, the most confident first."""
    reals = sorted((m for m in mistakes if not m.is_fake), key=lambda m: -m.score)
    fakes = sorted((m for m in mistakes if m.is_fake), key=lambda m: m.score)
    return reals[:NUM_MISTAKES] + fakes[:NUM_MISTAKES]
