"""Weights, bias and threshold of a detector, from validation images."""

import hashlib
import math
import warnings

import numpy as np
from scipy.optimize import brentq

from keras_deepfake._arguments import MOST_PLACES, check_integer, check_rate
from keras_deepfake._conformal import fit_bounds, rank_at_rate
from keras_deepfake.evaluation.curves import roc_curve
from keras_deepfake.models import Detector, as_detector
from keras_deepfake.models.image_batches import image_batches
from keras_deepfake.models.log_odds import sigmoid
from keras_deepfake.models.model_copy import copy_model
from keras_deepfake.models.prediction import check_finite_weights

# Digests that a calibrated detector keeps: enough to notice any overlap that matters, and small.
MAX_DIGESTS = 1000
HIGHEST_TEMPERATURE = 100.0


def calibrate(
    models,
    validation,
    false_positive_rate=None,
    batch_size=64,
    image_size=None,
    class_names=None,
    fake_class=None,
    abstain=None,
):
    """Fit what makes a detector of trained classifiers: weights, bias and threshold.

    Of one model the weight 1/T, where the temperature T minimises the negative log-likelihood of
    the validation labels; its bias is 0. Of several a stacked ensemble: weights of at least 0 and
    a bias that minimise the same, with a penalty of ½ Σ (weight - 1 / models)² spread over the
    images, which decides where the images leave the weights open.

    The threshold is then chosen among the calibrated probabilities of the same images. With
    `false_positive_rate` it lies just above the k-th highest score of the m reals,
    k = ⌊rate · (m + 1)⌋: a new real image from the same source exceeds it with a probability of
    at most k / (m + 1). Without, it is where the balanced accuracy is highest.

    With `abstain` the detector also learns to say "unsure", by class-conditional split conformal
    sets. An image may be fake unless its score is among the lowest ⌊abstain · (n + 1)⌋ of the n
    fakes, and real unless it is among the highest of the reals; the verdict is the one class that
    it may be of, and "unsure" where it may be of both or neither. A new fake, and a new real, from
    the same source lacks its own class in its set with a probability of at most `abstain`. Of one
    model this is exact, since its temperature keeps the order of the scores; the weights of
    several models are fitted on the same images, which takes a little from it.

    Neither may see the images that the detector is evaluated on: a threshold that was chosen on
    them makes every figure at this threshold too good. The detector remembers what calibrated
    it, and `evaluate_detector` refuses these images.

    Args:
        models: A trained Keras model, or a list of them: classifiers of images in [0, 1] into
            two columns of probabilities, or one, as for `kd.models.Detector`. They are copied. Of
            a detector the members are calibrated anew.
        validation: Labelled images of the validation part: an `ImageIndex`, a tuple `(images,
            labels)` of arrays, or a dataset of such batches. Labels are one-hot, or class numbers,
            in the order of the class names.
        false_positive_rate: Float in (0, 1) or `None`: the share of real images that may be
            called fake.
        batch_size: Integer, images in a batch.
        image_size: `(height, width)` to which images are resized. By default the size of the
            models' input; where they accept any size, images keep theirs.
        class_names: Strings, the classes in the order of the labels, for plain Keras models. An
            `ImageIndex` tells them too.
        fake_class: The name of the fake class, where it cannot be recognised.
        abstain: Float in (0, 1) or `None`: the miscoverage, the share of the images of each class
            whose set may lack it. `None` makes a detector that always names a class.

    Returns:
        A `kd.models.Detector`.

    Raises:
        ValueError: for validation images of one class; for a `false_positive_rate` that is too
            small for the number of reals, or an `abstain` that is for that of either class; and
            for what `kd.models.Detector` and `evaluate_detector` refuse. Scores that do not
            favour the true class only warn.

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
        model,
        validation=(images[30:], labels[30:]),
        false_positive_rate=0.1,
        class_names=("fake", "real"),
    )
    detector.save("detector.keras")
    ```

    Reference:
        [Guo et al., 2017](https://arxiv.org/abs/1706.04599), section 4.2, for the temperature;
        [Breiman, 1996](https://doi.org/10.1007/BF00117832) for weights of at least 0; the
        threshold is a one-sided tolerance limit from order statistics; [Sadinle, Lei and
        Wasserman, 2019](https://doi.org/10.1080/01621459.2017.1395341) for sets of each class.
    """
    false_positive_rate = check_rate("false_positive_rate", false_positive_rate)
    abstain = check_rate("abstain", abstain)
    batch_size = check_integer("batch_size", batch_size, 1, MOST_PLACES)
    detector = as_detector(models, class_names, fake_class, image_size, validation)

    numbers, log_odds, seen = [], [], set()
    check_finite_weights(detector)
    for batch in image_batches(
        validation, detector.input_shape, detector.image_size, batch_size, labelled=True
    ):
        batch.check_read()
        numbers += [image.label for image in batch.images]
        log_odds.append(detector.member_log_odds(batch.pixels))
        seen.update(digests(batch.pixels))
    fakes = np.array(numbers) == detector.fake_index
    if not numbers or fakes.all() or not fakes.any():
        raise ValueError(
            f"`validation` must hold images of both classes; got {fakes.sum()} fakes and "
            f"{(~fakes).sum()} reals."
        )
    return calibrated_detector(
        detector, fakes, np.concatenate(log_odds), seen, false_positive_rate, abstain
    )


def calibrated_detector(
    detector, fakes, log_odds, seen, false_positive_rate=None, abstain=None, views=1
):
    """Make a calibrated copy of a detector from what its members say of images.

    Args:
        detector: `kd.models.Detector`.
        fakes: Booleans, shape `(images,)`.
        log_odds: What the members say of images that they were not trained on, shape
            `(images, members)`.
        seen: Digests of the images.
        false_positive_rate: As in `calibrate`.
        abstain: As in `calibrate`.
        views: Integer, how many rows are of one image.

    Returns:
        A new `kd.models.Detector`.
    """
    if len(detector.members) == 1:
        weights, bias = (1 / _fit_temperature(fakes, log_odds[:, 0]),), 0.0
    else:
        weights, bias = stacking_weights(fakes, log_odds)
    scores = sigmoid(bias + log_odds @ weights)
    if false_positive_rate is None:
        threshold = _balanced_threshold(fakes, scores)
    else:
        threshold = threshold_at_rate(scores[~fakes], false_positive_rate, views)
    return Detector(
        **{
            **detector.arguments(),
            "members": [copy_model(member) for member in detector.members],
            "weights": weights,
            "bias": bias,
            "threshold": threshold,
            "false_positive_rate": false_positive_rate,
            "validation_digests": tuple(sorted(seen)[:MAX_DIGESTS]),
            "conformal_bounds": None
            if abstain is None
            else fit_bounds(fakes, scores, abstain, views),
            "miscoverage": abstain,
        }
    )


def check_rates(num_fakes, num_reals, false_positive_rate=None, abstain=None):
    """Raise, before any image is scored, for rates that so few images cannot keep."""
    if false_positive_rate is not None:
        rank_at_rate("false_positive_rate", false_positive_rate, num_reals, "real")
    if abstain is not None:
        rank_at_rate("abstain", abstain, num_fakes, "fake")
        rank_at_rate("abstain", abstain, num_reals, "real")


def digests(images):
    """A short digest of each image as the model was given it, for finding it again."""
    images = np.asarray(images, dtype="float32")
    return [hashlib.blake2b(image.tobytes(), digest_size=6).hexdigest() for image in images]


def _fit_temperature(fakes, log_odds):
    """The temperature of the smallest negative log-likelihood, from 0.01 to 100."""
    margins = np.where(fakes, log_odds, -log_odds)

    def slope(temperature):
        """Slope of the convex negative log-likelihood along 1 / temperature."""
        return np.mean(-margins * (1 - np.tanh(margins / temperature / 2)) / 2)

    low, high = 0.01, HIGHEST_TEMPERATURE
    if slope(high) >= 0:
        _warn_of_guessing()
        return high
    if slope(low) <= 0:
        warnings.warn(
            "The model separates the validation images perfectly, which leaves its temperature "
            "open; it stays at 1. Calibrate on more or harder images.",
            UserWarning,
            stacklevel=4,
        )
        return 1.0
    return math.exp(brentq(lambda x: slope(math.exp(x)), math.log(low), math.log(high)))


def _warn_of_guessing():
    # Not an error: the training that led here may have been long.
    warnings.warn(
        "On the validation images the probabilities do not favour the true class, so that all "
        "are brought close to one half. Is the model trained, and are labels and columns in the "
        "same order?",
        UserWarning,
        stacklevel=5,
    )


def stacking_weights(fakes, log_odds):
    """Weights of at least 0 and the bias of a stacked ensemble.

    They minimise the mean negative log-likelihood plus ½ Σ (weight - 1/k)² / images, by Newton's
    method projected on weights of at least 0.

    Args:
        fakes: Booleans, shape `(images,)`.
        log_odds: Shape `(images, k)`.

    Reference:
        [Bertsekas, 1982](https://doi.org/10.1137/0320018), on projected Newton methods.
    """
    count, k = log_odds.shape
    signs = np.where(fakes, 1.0, -1.0)
    features = np.column_stack([log_odds, np.ones(count)])
    prior, precision = np.append(np.full(k, 1 / k), 0.0), np.append(np.full(k, 1 / count), 0.0)

    def loss(solution):
        penalty = np.sum(precision * (solution - prior) ** 2) / 2
        return np.mean(np.logaddexp(0.0, -signs * (features @ solution))) + penalty

    def projected(solution):
        return np.append(np.maximum(solution[:k], 0.0), solution[k])

    solution = prior
    for _ in range(100):
        probabilities = sigmoid(features @ solution)
        gradient = features.T @ (probabilities - fakes) / count + precision * (solution - prior)
        curvature = (features.T * (probabilities * (1 - probabilities))) @ features / count
        curvature += np.diag(precision) + 1e-10 * np.eye(k + 1)
        # A weight at 0 that would go below stays there.
        free = np.append((solution[:k] > 0) | (gradient[:k] < 0), True)
        step = np.zeros(k + 1)
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)], gradient[free])
        size = 1.0
        while size > 1e-8:
            candidate = projected(solution - size * step)
            if loss(candidate) <= loss(solution) - 1e-4 * gradient @ (solution - candidate):
                break
            size /= 2
        moved = np.abs(candidate - solution).max()
        solution = candidate
        if moved < 1e-9:
            break
    if not solution[:k].any():
        _warn_of_guessing()
        return (1 / HIGHEST_TEMPERATURE / k,) * k, 0.0
    return tuple(map(float, solution[:k])), float(solution[k])


def _balanced_threshold(labels, scores):
    """Between two scores, where the balanced accuracy is highest; if in doubt near 0.5."""
    false_positive_rates, true_positive_rates, thresholds = roc_curve(labels, scores)
    gain = (true_positive_rates - false_positive_rates)[1:]
    candidates = (thresholds[1:] + np.append(thresholds[2:], 0)) / 2
    best = candidates[gain >= gain.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])


def threshold_at_rate(real_scores, rate, views=1):
    """The lowest threshold that a new real exceeds with a probability of at most `rate`."""
    count = len(real_scores) // views
    exceeding = rank_at_rate("false_positive_rate", rate, count, "real", views)
    # So much above that no rounding on another machine makes the two equal.
    threshold = np.sort(real_scores)[-exceeding] + 1e-6
    if threshold > 1:
        raise ValueError(
            f"`false_positive_rate`={rate} cannot be reached: more reals than that have the "
            "highest possible score of 1."
        )
    return float(threshold)
