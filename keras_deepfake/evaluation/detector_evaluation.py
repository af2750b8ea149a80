"""A detection report of a Keras model."""

import dataclasses

import keras
import numpy as np

from keras_deepfake._arguments import check_integer, check_number
from keras_deepfake.evaluation.calibration import MAX_DIGESTS, digests
from keras_deepfake.evaluation.report import Mistake, detection_report
from keras_deepfake.models import as_detector
from keras_deepfake.models.image_batches import count_images
from keras_deepfake.models.training_data import groups_of

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
    class_names=None,
    fake_class=None,
):
    """Evaluate any Keras model that tells fake from real images.

    The score of an image is P(fake) of the `kd.models.Detector` that is, or is made of, the model.
    Evaluate on images that neither training, nor the choice of an epoch or a hyperparameter, nor
    calibration has seen.

    Args:
        model: A `kd.models.Detector`, an `EncoderClassifier`, or any Keras model that takes images
            with values in [0, 1] and returns two columns of probabilities, or one: that of class
            number 1.
        index_or_dataset: The labelled images: an `ImageIndex`; a tuple `(images, labels)` of
            arrays; or a dataset (`tf.data`, `PyDataset`, any iterable) of such batches. Labels
            are one-hot, or class numbers, in the order of the class names.
        threshold: Float in [0, 1]; an image is called fake when its score is at least this. By
            default the model's own (see `calibrate`), else 0.5.
        batch_size: Integer, images in a batch.
        image_size: `(height, width)` to which images are resized. By default the size of the
            model's input; where it accepts any size, images keep theirs.
        groups: Group of each image in the order of the data, for the intervals. By default
            those of the index, or of a dataset that was made of one and is not shuffled.
        kinds: Kind of forgery of each image in the order of the data. By default those of the
            index.
        num_resamples: Integer, number of bootstrap resamples.
        seed: Integer seed of the resamples.
        verbose: 1 for a progress bar, 0 for none.
        class_names: Strings, the classes in the order of the labels, for plain Keras models. An
            `ImageIndex` tells them too.
        fake_class: The name of the fake class, where it cannot be recognised.

    Returns:
        A `DetectionReport`, with the most confident mistakes at the threshold. Of a detector that
        abstains it also says how many images are answered, and how often the sets hold the truth.

    Raises:
        ValueError: for pixel values outside [0, 1]; outputs that are not probabilities, as
            logits; more than two classes; one class only; a model and an index that have the fake
            class at different places; shuffled images that have groups; the images that calibrated
            the model; and everything that `kd.models.Detector` and `detection_report` refuse.

    Example:
    ```python
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    )
    images = np.random.default_rng(0).random((20, 8, 8, 3), "float32")
    report = kd.evaluation.evaluate_detector(
        model, (images, [1, 0] * 10), class_names=("fake", "real")
    )
    report.metrics["auc"]
    ```
    """
    verbose = check_integer("verbose", verbose, 0, 2)
    groups = groups_of(index_or_dataset, groups, "index_or_dataset")
    if kinds is None and hasattr(index_or_dataset, "kinds"):
        # An image right in its class folder has the folder's name for its kind.
        folders = index_or_dataset.class_names or ()
        kinds = [None if kind in folders else kind for kind in index_or_dataset.kinds]
    detector = as_detector(model, class_names, fake_class, image_size, index_or_dataset)
    threshold, source = _threshold(detector, threshold)

    seen = set(detector.validation_digests)
    # Those are the lowest digests of a large validation set: a sample, known by its highest.
    is_sample = len(seen) >= MAX_DIGESTS
    highest_kept = max(seen) if is_sample else None
    is_fake, scores, mistakes = [], [], []
    num_seen = num_comparable = 0
    total = count_images(index_or_dataset)
    progress = keras.utils.Progbar(total, verbose=verbose, unit_name="image")
    for batch, batch_scores in detector.score_batches(index_or_dataset, batch_size, labelled=True):
        batch.check_read()
        if seen:
            found = digests(batch.pixels)
            num_seen += sum(digest in seen for digest in found)
            num_comparable += sum(not is_sample or digest <= highest_kept for digest in found)
        for image, pixels, score in zip(batch.images, batch.pixels, batch_scores, strict=True):
            is_fake.append(image.label == detector.fake_index)
            if (float(score) >= threshold) != is_fake[-1]:
                mistakes.append(Mistake(pixels, is_fake[-1], float(score), image.name))
        scores.append(batch_scores)
        mistakes = _most_confident(mistakes)
        progress.update(len(is_fake), finalize=False)
    progress.update(len(is_fake), finalize=True)
    # One image in a sample may be a chance.
    if num_seen > max(MAX_SEEN * num_comparable, is_sample):
        raise ValueError(
            f"Of {num_comparable} images that can be compared, {num_seen} are among those that "
            "calibrated this model. Evaluate it on images that it has not seen."
        )
    report = detection_report(
        is_fake,
        np.concatenate(scores) if scores else [],
        groups=groups,
        kinds=kinds,
        threshold=threshold,
        num_resamples=num_resamples,
        seed=seed,
        conformal_bounds=detector.conformal_bounds,
    )
    notes = report.notes + _coverage_notes(report, detector)
    if num_seen > 0:
        compared = f"the {num_comparable} comparable" if is_sample else "the"
        notes += (f"{num_seen} of {compared} images are among those that calibrated the model.",)
    return dataclasses.replace(
        report, threshold_source=source, notes=notes, mistakes=tuple(mistakes)
    )


def _threshold(detector, threshold):
    if threshold is not None:
        return check_number("threshold", threshold, 0, 1), "stated by the caller"
    if not detector.validation_digests:
        return detector.threshold, "not chosen by calibration"
    source = "stored in the model, chosen by calibration"
    if detector.false_positive_rate is not None:
        rate = 100 * detector.false_positive_rate
        source += f" for a false-positive rate of at most {rate:g} %"
    return detector.threshold, source


def _coverage_notes(report, detector):
    """Whether fewer sets hold the true class than calibration promised."""
    if detector.miscoverage is None or detector.conformal_bounds is None:
        return ()
    promised = 1 - detector.miscoverage
    return tuple(
        f"The conformal sets of the {kind}s hold {kind} less often than the {promised:.3g} that "
        "they were calibrated for: there were few validation images, or these are from another "
        "source."
        for kind in ("fake", "real")
        if report.intervals[f"coverage_{kind}"][1] < promised
    )


def _most_confident(mistakes):
    """The reals scored highest and the fakes scored lowest, the most confident first."""
    reals = sorted((m for m in mistakes if not m.is_fake), key=lambda m: -m.score)
    fakes = sorted((m for m in mistakes if m.is_fake), key=lambda m: m.score)
    return reals[:NUM_MISTAKES] + fakes[:NUM_MISTAKES]
