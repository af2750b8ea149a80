"""A classifier with its temperature and its threshold, in one saved model."""

import keras

from keras_deepfake.layers import TemperatureScaling
from keras_deepfake.metrics import EqualErrorRate, ExpectedCalibrationError
from keras_deepfake.models.detection_model import DetectionModel


@keras.saving.register_keras_serializable(package="keras_deepfake")
class CalibratedClassifier(DetectionModel):
    """A trained detector, temperature scaling, and the threshold of its verdict.

    `kd.evaluation.calibrate` makes one from validation images. It predicts like the detector
    that it holds, with calibrated probabilities, and keeps what a user of the saved file needs
    to know: the threshold, what the threshold was chosen for, and the order of the classes.

    Args:
        classifier: A built Keras model with two columns of probabilities, or with one, the
            probability of being fake.
        temperature: Positive float, the temperature of `TemperatureScaling`.
        threshold: Float in [0, 1]: an image is called fake when the probability of being fake
            is at least this.
        class_names: Two strings in the order of the columns. By default those of the
            classifier, else `("fake", "real")`.
        activation: `"softmax"` or `"sigmoid"`, what the classifier ends in.
        false_positive_rate: Float or `None`, the rate that the threshold was chosen for.
        validation_digests: Strings, digests of images that calibration has seen. Evaluation
            refuses these images.
        **kwargs: Base model arguments, such as `name`.

    Input shape:
        That of the classifier.

    Output shape:
        That of the classifier: float32 probabilities.

    Raises:
        ValueError: If the classifier is not a built model with one or two columns, or an
            argument does not fit the description.

    Example:
        ```python
        autoencoder = kd.models.ConvAutoencoder(image_shape=(32, 32, 3), filters=(16, 8))
        classifier = kd.models.EncoderClassifier.from_autoencoder(autoencoder)
        detector = kd.models.CalibratedClassifier(classifier, temperature=1.8, threshold=0.31)
        images = np.random.default_rng(0).random((4, 32, 32, 3), "float32")
        called_fake = detector.predict(images, verbose=0)[:, 0] >= detector.threshold
        ```

    Reference:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
    """

    def __init__(
        self,
        classifier,
        temperature=1.0,
        threshold=0.5,
        class_names=None,
        activation="softmax",
        false_positive_rate=None,
        validation_digests=(),
        **kwargs,
    ):
        if isinstance(classifier, dict):
            classifier = keras.saving.deserialize_keras_object(classifier)
        if class_names is None:
            class_names = getattr(classifier, "class_names", ("fake", "real"))
        class_names = tuple(class_names)
        check_classifier(classifier)
        if len(class_names) != 2:
            raise ValueError(f"`class_names` must be two strings; got {class_names}.")
        if not 0 <= threshold <= 1:
            raise ValueError(f"`threshold` must be a probability, from 0 to 1; got {threshold}.")

        # === Layers ===
        scaling = TemperatureScaling(
            temperature, activation, dtype="float32", name="temperature_scaling"
        )

        # === Functional model ===
        inputs = keras.Input(
            classifier.input_shape[1:], dtype=classifier.inputs[0].dtype, name="images"
        )
        super().__init__(inputs, scaling(classifier(inputs)), **kwargs)
        # A classifier of images of any size stays one.
        self.input_spec = classifier.input_spec

        # === Config ===
        self.dtype_policy = classifier.dtype_policy
        self.classifier = classifier
        self.temperature = temperature
        self.threshold = threshold
        self.class_names = class_names
        self.activation = activation
        self.false_positive_rate = false_positive_rate
        self.validation_digests = tuple(validation_digests)

    @property
    def encoder(self):
        """The encoder of the classifier, if it has one."""
        return self.classifier.encoder

    def default_compile_arguments(self):
        fake = self.class_names.index("fake") if "fake" in self.class_names else 0
        return {
            "optimizer": keras.optimizers.Adam(1e-3),
            "loss": (
                keras.losses.BinaryCrossentropy()
                if self.activation == "sigmoid"
                else keras.losses.CategoricalCrossentropy()
            ),
            "metrics": [EqualErrorRate(class_id=fake), ExpectedCalibrationError(class_id=fake)],
        }

    def get_config(self):
        classifier = keras.saving.serialize_keras_object(self.classifier)
        classifier.pop("compile_config", None)
        config = super().get_config()
        config.update(
            classifier=classifier,
            temperature=self.temperature,
            threshold=self.threshold,
            class_names=self.class_names,
            activation=self.activation,
            false_positive_rate=self.false_positive_rate,
            validation_digests=self.validation_digests,
        )
        return config


def check_classifier(classifier):
    """Raise unless the model can be calibrated."""
    if isinstance(classifier, CalibratedClassifier):
        raise ValueError(
            f"Model {classifier.name!r} is calibrated already, at temperature "
            f"{classifier.temperature:.3g}. Calibrate the model that it holds, `.classifier`."
        )
    if not isinstance(classifier, keras.Model) or not getattr(classifier, "inputs", None):
        raise ValueError(
            "The model to calibrate must be a Keras model that is built as a graph; got "
            f"{classifier!r}. Give a sequential one a `keras.Input` first, and wrap a subclassed "
            "one: `keras.Model(inputs, model(inputs))` with `inputs = keras.Input(image_shape)`."
        )
    if len(classifier.outputs) != 1 or classifier.output_shape[1:] not in ((1,), (2,)):
        raise ValueError(
            "The model to calibrate must have one output of one or two columns, as detection "
            f"has two classes; got output shape {classifier.output_shape}."
        )
