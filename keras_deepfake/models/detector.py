"""The detector: what a training ends in, and the one meaning of "fake"."""

import keras
import numpy as np

from keras_deepfake._arguments import (
    MOST_PLACES,
    check_image_size,
    check_integer,
    check_number,
    check_rate,
)
from keras_deepfake._classes import check_class_names, class_names_of, find_fake
from keras_deepfake._conformal import UNSURE, check_bounds, name_verdicts
from keras_deepfake._pixels import to_numpy
from keras_deepfake.metrics import EqualErrorRate, ExpectedCalibrationError
from keras_deepfake.models._members import (
    common_class_names,
    common_input,
    distinct_members,
    fake_column,
)
from keras_deepfake.models.detection_model import DetectionModel
from keras_deepfake.models.image_batches import compute_by_shape, image_batches
from keras_deepfake.models.log_odds import LogOddsCombination, log_odds, sigmoid
from keras_deepfake.models.prediction import check_finite_weights, check_outputs, predict_batch


@keras.saving.register_keras_serializable(package="keras_deepfake")
class Detector(DetectionModel):
    """One or several trained classifiers, their calibration, and the verdict.

    It combines what its members say of an image:

    `P(fake) = sigmoid(bias + Σ weightᵢ · log-odds of fake of member i)`

    With one member and weight 1/T this is temperature scaling; several are a stacked ensemble.
    `kd.evaluation.calibrate` fits weights, bias and threshold on validation images.

    With `conformal_bounds` it abstains: its verdict is `"unsure"` on an image that may be of both
    classes, or of neither. What needs an answer on every image goes by the threshold.

    A detector owns the order of the classes, which of them is fake, the threshold, the size of
    the images, and what calibration has seen. Every function of `evaluation`, `explanation` and
    `reports` that is given another Keras model makes a detector of it first.

    Args:
        members: A built Keras model, or a list of them: classifiers of images in [0, 1] into two
            columns of probabilities, or one. As Keras has it, columns are in the order of the
            class numbers, and one column is the probability of class number 1, the second of
            `class_names`. Members whose names, or those of their variables, clash are copied.
        class_names: Two strings in the order of the output's columns. By default those of the
            first member that has any; plain Keras models have none. Members with class names of
            their own keep their order inside.
        weights: Floats, one for each member; by default 1 divided by their number.
        bias: Float.
        threshold: Float in [0, 1]: an image is called fake when P(fake) is at least this.
        image_size: `(height, width)` to which images are resized before they are scored. `None`
            takes the size of the members; where they accept any size, images keep theirs.
        fake_class: The name of the fake class, where it cannot be recognised (`"fake"`, `"REAL"`,
            `"1_fake"`, `"manipulated"` and their like are).
        false_positive_rate: Float or `None`, the rate that the threshold was chosen for.
        validation_digests: Strings, digests of images that calibration has seen. Evaluation
            refuses these images.
        conformal_bounds: `None`, or `(lowest_fake, highest_real)`, two floats in [0, 1] in either
            order: an image may be fake where P(fake) is at least the first, and real where it is
            at most the second.
        miscoverage: Float or `None`, the rate that these bounds were chosen for.
        **kwargs: Base model arguments, such as `name`.

    Input shape:
        That of the members, floating point in [0, 1].

    Output shape:
        `(batch, 2)`: float32 probabilities in the order of `class_names`, which sum to 1.

    Attributes:
        members: Tuple of the classifiers.
        fake_index: 0 or 1, the column of the fake class.

    Raises:
        ValueError: If a member is no built classifier into one or two columns, the members take
            images of different sizes, nothing says which class is fake, a member's class names
            and `class_names` disagree, or another argument does not fit the description.

    Example:
        ```python
        autoencoder = kd.models.ConvAutoencoder(image_shape=(32, 32, 3), filters=(16, 8))
        classifier = kd.models.EncoderClassifier.from_autoencoder(autoencoder)
        detector = kd.models.Detector(classifier, threshold=0.31)
        images = np.random.default_rng(0).random((4, 32, 32, 3), "float32")
        detector.scores(images)  # P(fake), float32 of shape (4,)
        detector.verdicts(images)  # array of "fake" and "real"
        ```

    Reference:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2
        (temperature scaling); Wolpert, "Stacked Generalization", Neural Networks 1992.
    """

    def __init__(
        self,
        members,
        class_names=None,
        weights=None,
        bias=0.0,
        threshold=0.5,
        image_size=None,
        *,
        fake_class=None,
        false_positive_rate=None,
        validation_digests=(),
        conformal_bounds=None,
        miscoverage=None,
        **kwargs,
    ):
        members = distinct_members(members)
        class_names = common_class_names(members, class_names, fake_class)
        fake_index = find_fake(class_names, fake_class)
        fake_columns = [fake_column(member, class_names, fake_index) for member in members]
        if weights is None:
            weights = [1 / len(members)] * len(members)
        weights = _weights(weights, len(members))
        bias = check_number("bias", bias)
        threshold = check_number("threshold", threshold, 0, 1)
        false_positive_rate = check_rate("false_positive_rate", false_positive_rate)
        validation_digests = _digests(validation_digests)
        conformal_bounds = check_bounds(conformal_bounds)
        if conformal_bounds is not None and UNSURE in class_names:
            raise ValueError(
                f"`class_names` must not hold {UNSURE!r}, the verdict of a detector that abstains; "
                f"got {class_names}."
            )
        miscoverage = check_rate("miscoverage", miscoverage)
        input_shape, input_spec, image_size = common_input(members, image_size)

        # === Functional model ===
        inputs = keras.Input(input_shape[1:], name="images")
        combination = LogOddsCombination(
            weights, bias, fake_columns, fake_index, name="combination"
        )
        super().__init__(inputs, combination([member(inputs) for member in members]), **kwargs)
        # A member of images of any size stays one.
        self.input_spec = input_spec

        # === Config ===
        self.dtype_policy = members[0].dtype_policy
        self.members = tuple(members)
        self.class_names = class_names
        self.fake_index = fake_index
        self.member_weights = weights
        self.bias = bias
        self.threshold = threshold
        self.image_size = image_size
        self.false_positive_rate = false_positive_rate
        self.validation_digests = validation_digests
        self.conformal_bounds = conformal_bounds
        self.miscoverage = miscoverage
        self._fake_columns = tuple(fake_columns)

    def scores(self, images, batch_size=32):
        """Computes P(fake) of images, whatever holds them.

        Args:
            images: An array of images (uint8 in 0-255, or floating point in 0-1), the path of an
                image or of a folder, an `ImageIndex`, a dataset of batches, or an iterable of
                these.
            batch_size: Integer, how many images are scored at a time.

        Returns:
            Float32 NumPy array of shape `(images,)`, in [0, 1].

        Raises:
            ValueError: For pixel values outside the range, files that cannot be read (with their
                paths), members whose weights are not finite or whose outputs are no
                probabilities. `kd.evaluation.predict_images` gives unreadable files a row.
        """
        scores = []
        for batch, batch_scores in self.score_batches(images, batch_size):
            batch.check_read()
            scores.append(batch_scores)
        return np.concatenate(scores) if scores else np.empty(0, "float32")

    def verdicts(self, images, batch_size=32):
        """Names the class of images: the fake one where P(fake) reaches the threshold.

        Args:
            images: As for `scores`.
            batch_size: Integer, how many images are scored at a time.

        Returns:
            NumPy array of strings among `class_names`, of shape `(images,)`. A detector with
            `conformal_bounds` names the one class that an image may be of, else `"unsure"`.
        """
        return self.verdicts_of(self.scores(images, batch_size))

    def verdicts_of(self, scores, threshold=None):
        """Names the class of each score, as `verdicts` does for images.

        Args:
            scores: Array of P(fake), of shape `(images,)`.
            threshold: Float in [0, 1] to decide all by, instead of what the detector holds.

        Returns:
            As `verdicts`.
        """
        scores = to_numpy(scores, "scores")
        # NaN fails both comparisons.
        if not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError("`scores` must be probabilities, from 0 to 1.")
        bounds = self.conformal_bounds if threshold is None else None
        level = self.threshold if threshold is None else check_number("threshold", threshold, 0, 1)
        return name_verdicts(scores, self.class_names, self.fake_index, level, bounds)

    def score_batches(self, data, batch_size=32, labelled=False):
        """Yields the images that `data` holds in batches, in their order, with their scores.

        Args:
            data: As `images` of `scores`; labels beside the images are kept.
            batch_size: Integer, how many images are scored at a time.
            labelled: Boolean, whether every image must have a label.

        Yields:
            Pairs of an `ImageBatch` (`pixels`, an array in the layout of the model, and `images`,
            each with `name`, `label` and `problem`) and its scores, a float32 array. A file that
            cannot be read, or is too small for a member, is a batch of one image with its
            `problem`, and no score.
        """
        batch_size = check_integer("batch_size", batch_size, 1, MOST_PLACES)
        check_finite_weights(self)
        batches = image_batches(data, self.input_shape, self.image_size, batch_size, labelled)
        for batch, scores in compute_by_shape(self.score_pixels, batches, batch_size):
            yield batch, np.empty(0, "float32") if scores is None else scores

    def score_pixels(self, pixels):
        """Computes P(fake) of one batch of images in the layout of the model's input.

        Args:
            pixels: NumPy array with values in [0, 1].

        Returns:
            Float32 NumPy array of shape `(images,)`.
        """
        total = self.bias + self.member_log_odds(pixels) @ np.array(self.member_weights)
        return sigmoid(total).astype("float32")

    def member_log_odds(self, pixels):
        """Computes the log-odds of fake of each member, for one batch of images.

        Args:
            pixels: As for `score_pixels`.

        Returns:
            Float64 NumPy array of shape `(images, members)`.
        """
        columns = [
            log_odds(check_outputs(predict_batch(member, pixels), len(pixels), member.name), column)
            for member, column in zip(self.members, self._fake_columns, strict=True)
        ]
        return np.stack(columns, axis=1)

    def default_compile_arguments(self):
        return {
            "optimizer": keras.optimizers.Adam(1e-3),
            "loss": keras.losses.CategoricalCrossentropy(),
            "metrics": [
                EqualErrorRate(class_id=self.fake_index),
                ExpectedCalibrationError(class_id=self.fake_index),
            ],
        }

    def arguments(self):
        """The arguments that make this detector again, from the same members."""
        return {
            "members": list(self.members),
            "class_names": self.class_names,
            "weights": self.member_weights,
            "bias": self.bias,
            "threshold": self.threshold,
            "image_size": self.image_size,
            "fake_class": self.class_names[self.fake_index],
            "false_positive_rate": self.false_positive_rate,
            "validation_digests": self.validation_digests,
            "conformal_bounds": self.conformal_bounds,
            "miscoverage": self.miscoverage,
        }

    def get_config(self):
        members = [keras.saving.serialize_keras_object(member) for member in self.members]
        for member in members:
            member.pop("compile_config", None)
        return {**super().get_config(), **self.arguments(), "members": members}


def as_detector(model, class_names=None, fake_class=None, image_size=None, data=None):
    """Makes a `Detector` of any classifier; a detector stays as it is.

    Args:
        model: A `Detector`, an `EncoderClassifier`, or any built Keras model from images in
            [0, 1] to two columns of probabilities, or one; or a list of the latter two.
        class_names: Strings, the classes in the order of the labels that the model was trained
            on, where it does not hold them itself.
        fake_class: The name of the fake class, where it cannot be recognised.
        image_size: `(height, width)` to which images are resized, where the model does not say.
        data: What the detector is to be used on. An `ImageIndex`, or a dataset that has
            `class_names`, tells a plain model its class names, and must not contradict those of
            others.

    Returns:
        A `Detector` that shares the model.

    Raises:
        ValueError: As `Detector`, and if the fake class has one place in the model and another
            in `class_names` or in the data.

    Example:
        ```python
        model = keras.Sequential(
            [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
        )
        detector = kd.models.as_detector(model, class_names=("real", "fake"))
        detector.fake_index  # 1
        ```
    """
    data_names = class_names_of(data)
    if isinstance(model, Detector):
        detector = _told_again(model, class_names, fake_class, image_size)
    else:
        members = model if isinstance(model, (list, tuple)) else [model]
        if class_names is None and all(getattr(m, "class_names", None) is None for m in members):
            class_names = data_names
        detector = Detector(model, class_names, image_size=image_size, fake_class=fake_class)
    if data_names is not None:
        _check_data(detector, data_names, fake_class)
    return detector


def _told_again(detector, class_names, fake_class, image_size):
    """A detector with other names for its classes, or another size of images."""
    names = detector.class_names
    own = names[detector.fake_index]
    if class_names is not None:
        names = check_class_names(class_names, 2)
    if fake_class is None:
        fake_class = next((name for name in names if name.casefold() == own.casefold()), None)
    fake_index = find_fake(names, fake_class)
    if fake_index != detector.fake_index:
        raise ValueError(
            f"Detector {detector.name!r} of the classes {detector.class_names} has the fake class "
            f"{own!r}, not the place of {names[fake_index]!r} in {names}. It knows its classes, "
            "and its threshold holds for these: leave `class_names` and `fake_class` out."
        )
    changes = {"class_names": names, "fake_class": names[fake_index]}
    if image_size is not None:
        changes["image_size"] = check_image_size(image_size)
    if all(changes[name] == detector.arguments()[name] for name in changes):
        return detector
    return Detector(**{**detector.arguments(), **changes}, name=detector.name)


def _check_data(detector, names, fake_class):
    if len(names) != 2:
        raise ValueError(f"Detection has two classes; the data has {len(names)}: {names}.")
    if fake_class not in names:
        fake_class = None
    same = tuple(map(str.casefold, names)) == tuple(map(str.casefold, detector.class_names))
    if not same and find_fake(names, fake_class) != detector.fake_index:
        raise ValueError(
            f"The classes of the data are {names}, those of the model {detector.class_names}: they "
            "have the fake class at different places, so that the labels of the one are wrong for "
            "the other. Read the images with `class_names` in the order of the model; if the "
            f"model was trained on labels in the order {names}, it was given the wrong "
            "`class_names`: set them right."
        )


def _weights(weights, count):
    if (
        not hasattr(weights, "__len__")
        or isinstance(weights, (str, bytes))
        or len(weights) != count
    ):
        raise ValueError(
            f"`weights` must be {count} numbers, one for each member; got {weights!r}."
        )
    return tuple(check_number("weights", weight) for weight in weights)


def _digests(digests):
    if not isinstance(digests, (tuple, list)) or not all(isinstance(d, str) for d in digests):
        raise ValueError(f"`validation_digests` must be a tuple of strings; got {digests!r}.")
    return tuple(digests)
