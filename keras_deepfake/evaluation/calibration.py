"""Temperature and threshold of a detector, from validation images."""

import math
import warnings

import keras
import numpy as np

from keras_deepfake.evaluation.curves import check_truth_and_scores, roc_curve
from keras_deepfake.evaluation.scoring import digests, fake_column, fake_scores, scored_batches
from keras_deepfake.layers import temperature_scaling
from keras_deepfake.models._model_copy import copy_model
from keras_deepfake.models.calibrated_classifier import CalibratedClassifier, check_classifier

# Digests that a calibrated model keeps: enough to notice any overlap that matters, and small.
MAX_DIGESTS = 1000


def calibrate(model, validation, false_positive_rate=None, batch_size=64, image_size=None):
    """Fit a temperature and a threshold on validation images, and store both with the model.

    The temperature minimises the negative log-likelihood of the validation labels. The
    threshold is then chosen among the calibrated probabilities of the same images. With
    `false_positive_rate` it lies just above the k-th highest score of the m reals,
    k = ⌊rate · (m + 1)⌋: a new real image from the same source exceeds it with a probability of
    at most k / (m + 1). Without, it is where the balanced accuracy is highest.

    Neither may see the images that the model is evaluated on: a threshold that was chosen on
    them makes every figure at this threshold too good. The model remembers what calibrated it,
    and `evaluate_detector` refuses these images.

    Args:
        model: A trained Keras model that takes images with values in [0, 1] and returns
            probabilities in one or two columns, as for `evaluate_detector`. It is copied.
        validation: Labelled images of the validation part, as for `evaluate_detector`: an
            `ImageIndex`, a tuple `(images, labels)` of arrays, or a dataset of such batches.
        false_positive_rate: Float in (0, 1) or `None`: the share of real images that may be
            called fake.
        batch_size: Integer, images in a batch; a dataset has batches of its own.
        image_size: `(height, width)` to which the images of an index are resized. By default
            the size of the model's input.

    Returns:
        A `kd.models.CalibratedClassifier`, which saves and reloads with its `temperature`,
        `threshold` and `class_names`.

    Raises:
        ValueError: for a model that is calibrated already; for validation images of one class;
            for scores that rank fakes no higher than reals; for a `false_positive_rate` that
            is too small for the number of reals; and for what `evaluate_detector` refuses.

    Example:
    ```python
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    )
    model.compile("adam", "categorical_crossentropy")
    images = np.random.default_rng(0).random((60, 8, 8, 3), "float32")
    images[::2, 0] *= 0.5
    labels = keras.utils.to_categorical([0, 1] * 30)  # columns: fake, real
    model.fit(images[:30], labels[:30], epochs=20, verbose=0)
    detector = kd.evaluation.calibrate(
        model, validation=(images[30:], labels[30:]), false_positive_rate=0.1
    )
    detector.save("detector.keras")
    ```

    Reference:
        [Guo et al., 2017](https://arxiv.org/abs/1706.04599), section 4.2, for the temperature;
        the threshold is a one-sided tolerance limit from order statistics.
    """
    check_classifier(model)
    if false_positive_rate is not None and not 0 < false_positive_rate < 1:
        raise ValueError(
            f"`false_positive_rate` must lie between 0 and 1; got {false_positive_rate}."
        )
    classifier = copy_model(model)

    labels, outputs, seen = [], [], set()
    for images, batch_labels, batch_outputs in scored_batches(
        classifier, validation, batch_size, image_size
    ):
        labels.append(batch_labels)
        outputs.append(batch_outputs)
        seen.update(digests(images))
    outputs = np.concatenate(outputs) if outputs else np.zeros((0, 1), "float32")
    labels, _ = check_truth_and_scores(
        np.concatenate(labels) if labels else [], fake_scores(model, outputs)
    )

    columns = outputs.shape[1]
    sums_to_one = columns == 2 and np.abs(outputs.sum(axis=1) - 1).max() < 1e-2
    activation = "softmax" if sums_to_one else "sigmoid"
    temperature = _fit_temperature(labels, _logits(model, outputs, activation))
    layer = temperature_scaling.TemperatureScaling(temperature, activation)
    scores = fake_scores(model, keras.ops.convert_to_numpy(layer(outputs)))
    if false_positive_rate is None:
        threshold = _balanced_threshold(labels, scores)
    else:
        threshold = threshold_at_rate(scores[~labels], false_positive_rate)
    return CalibratedClassifier(
        classifier,
        temperature=temperature,
        threshold=threshold,
        activation=activation,
        false_positive_rate=false_positive_rate,
        validation_digests=sorted(seen)[:MAX_DIGESTS],
    )


def _logits(model, outputs, activation):
    """Log-odds of fake, as `TemperatureScaling` sees them."""
    outputs = outputs.astype("float64")
    scores = np.maximum(fake_scores(model, outputs), temperature_scaling.SMALLEST)
    if activation == "softmax":
        real = 1 - fake_column(getattr(model, "class_names", None))
        others = np.maximum(outputs[:, real], temperature_scaling.SMALLEST)
    else:
        others = np.maximum(1 - scores, temperature_scaling.SMALLEST_REST)
    return np.log(scores) - np.log(others)


def _fit_temperature(labels, logits):
    """The temperature of the smallest negative log-likelihood, from 0.01 to 100."""
    margins = np.where(labels, logits, -logits)

    def slope(temperature):
        """Slope of the convex negative log-likelihood along 1 / temperature."""
        return np.mean(-margins * (1 - np.tanh(margins / temperature / 2)) / 2)

    low, high = 0.01, 100.0
    if slope(high) >= 0:
        raise ValueError(
            "`validation` cannot calibrate this model: its probabilities do not favour the true "
            "class. Is the model trained, and are labels and columns in the same order?"
        )
    if slope(low) <= 0:
        warnings.warn(
            "The model separates the validation images perfectly, which leaves its temperature "
            "open; it stays at 1. Calibrate on more or harder images.",
            UserWarning,
            stacklevel=3,
        )
        return 1.0
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if slope(middle) < 0 else (middle, high)
    return math.sqrt(low * high)


def _balanced_threshold(labels, scores):
    """Between two scores, where the balanced accuracy is highest; if in doubt near 0.5."""
    false_positive_rates, true_positive_rates, thresholds = roc_curve(labels, scores)
    gain = (true_positive_rates - false_positive_rates)[1:]
    candidates = (thresholds[1:] + np.append(thresholds[2:], 0)) / 2
    best = candidates[gain >= gain.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])


def threshold_at_rate(real_scores, rate):
    """The lowest threshold that a new real exceeds with a probability of at most `rate`."""
    count = len(real_scores)
    # Rounded, lest 0.07 * 100 = 7.000000000000001 and its like decide.
    exceeding = math.floor(round(rate * (count + 1), 9))
    if exceeding < 1:
        raise ValueError(
            f"`false_positive_rate`={rate} needs at least {math.ceil(1 / rate) - 1} real images "
            f"in `validation`; there are {count}."
        )
    threshold = np.nextafter(np.sort(real_scores)[-exceeding], np.float32(2))
    if threshold > 1:
        raise ValueError(
            f"`false_positive_rate`={rate} cannot be reached: more reals than that have the "
            "highest possible score of 1."
        )
    return float(threshold)
