"""A detector that learns from real faces alone."""

import math
import warnings

import keras
import numpy as np
from keras import ops

from keras_deepfake.layers import MahalanobisDistance, MomentPooling, SRMResidual
from keras_deepfake.metrics import EqualErrorRate
from keras_deepfake.models.detection_model import DetectionModel
from keras_deepfake.models.encoder_classifier import (
    check_encoder,
    computing_layers,
    data_format_of,
)
from keras_deepfake.models.model_copy import copy_model


@keras.saving.register_keras_serializable(package="keras_deepfake")
class OneClassDetector(DetectionModel):
    """Calls fake what is reconstructed otherwise than real faces are.

    It needs an autoencoder and real images; fakes are not used. `adapt` measures how the
    features of reals are spread, and chooses on reals held out from that measurement the
    distance that the stated share of them exceeds:

    1. Features: moments of the residual r = 255 (x − x̂) and of its SRM high-pass residuals
       (mean, deviation, skewness and kurtosis of each channel), and mean and deviation of each
       channel of the latent; each as arsinh(v), which keeps heavy tails from widening the fit.
    2. d², the squared Mahalanobis distance from the mean of the reals.
    3. P(fake) = d² / (d² + t²), which is 0.5 at the threshold t.

    t² lies just above the k-th largest d² of the m reals held out, k = ⌊rate · (m + 1)⌋, so
    that a new real of the same source is called fake with a probability of at most `rate`.
    That rate is all that is promised. P is no calibrated probability, and fakes are found only
    as far as they lie outside the spread of reals. Faces of a generator that are more alike than
    photographs lie inside, and get a lower P(fake) than reals: measure it where you have some.

    Until `adapt`, `predict` and `evaluate` raise an error; calling the model gives NaN.

    Args:
        encoder: A built Keras model from images to one 4-D feature map. The detector freezes
            it and the decoder: pass copies, or use `from_autoencoder`.
        decoder: A built Keras model from that map to images.
        class_names: Two strings in the order of the output's columns. The one named `"fake"`,
            else the first, is the column of P(fake).
        false_positive_rate: Float in (0, 1), the share of reals that may be called fake.
        **kwargs: Base model arguments, such as `name`.

    Input shape:
        That of the encoder, floating point in [0, 1].

    Output shape:
        `(batch, 2)`: float32, P(fake) and 1 − P(fake) in the order of `class_names`.

    Raises:
        ValueError: If an argument does not fit the description.

    Example:
        ```python
        autoencoder = kd.models.ConvAutoencoder(image_shape=(16, 16, 3), filters=(4,))
        reals = np.random.default_rng(0).random((200, 16, 16, 3), "float32")
        detector = kd.models.OneClassDetector.from_autoencoder(
            autoencoder, false_positive_rate=0.05
        )
        detector.adapt(reals)
        detector.predict(reals[:3], verbose=0)  # (3, 2): fake, real
        detector.save("detector.keras")
        ```

    Reference:
        Lee et al., "A simple unified framework for detecting out-of-distribution samples and
        adversarial attacks", NeurIPS 2018, section 2.1, for the distance; the threshold is a
        one-sided tolerance limit from order statistics.
    """

    def __init__(
        self,
        encoder,
        decoder,
        class_names=("fake", "real"),
        false_positive_rate=0.05,
        **kwargs,
    ):
        if isinstance(encoder, dict):
            encoder = keras.saving.deserialize_keras_object(encoder)
            decoder = keras.saving.deserialize_keras_object(decoder)
        class_names = tuple(class_names)
        if len(class_names) != 2 or len(set(class_names)) != 2:
            raise ValueError(f"`class_names` must be two different strings; got {class_names}.")
        if not 0 < false_positive_rate < 1:
            raise ValueError(
                f"`false_positive_rate` must lie between 0 and 1; got {false_positive_rate}."
            )
        check_encoder(encoder, "avg")
        if not isinstance(decoder, keras.Model) or not decoder.built or not decoder.inputs:
            raise ValueError(f"`decoder` must be a built Keras model; got {decoder!r}.")
        encoder.trainable = decoder.trainable = False
        data_format = data_format_of(encoder)
        for model in (encoder, decoder):
            model.dtype_policy = [model, *computing_layers(model)][-1].dtype_policy

        # === Layers ===
        arguments = {"data_format": data_format, "dtype": "float32"}
        residual_moments = MomentPooling(name="residual_moments", **arguments)
        high_pass = SRMResidual((0, 255), clip=None, name="high_pass", **arguments)
        high_pass_moments = MomentPooling(name="high_pass_moments", **arguments)
        latent_moments = MomentPooling(2, name="latent_moments", **arguments)
        distance = MahalanobisDistance(dtype="float32", name="distance")
        threshold = _DistanceThreshold(
            class_names.index("fake") if "fake" in class_names else 0,
            dtype="float32",
            name="threshold",
        )

        # === Functional model ===
        images = keras.Input(encoder.input_shape[1:], name="images")
        latent = encoder(images)
        reconstruction = decoder(latent)
        if reconstruction.shape != images.shape:
            raise ValueError(
                "`decoder` must restore images of the shape that `encoder` takes; it gives "
                f"{reconstruction.shape} for {images.shape}."
            )
        residual = 255.0 * (images - ops.cast(reconstruction, "float32"))
        features = ops.arcsinh(
            ops.concatenate(
                [
                    residual_moments(residual),
                    high_pass_moments(high_pass(residual)),
                    latent_moments(latent),
                ],
                axis=-1,
            )
        )
        super().__init__(images, threshold(distance(features)), **kwargs)

        # === Config ===
        self.dtype_policy = encoder.dtype_policy
        self.encoder = encoder
        self.decoder = decoder
        self.class_names = class_names
        self.false_positive_rate = false_positive_rate

    @classmethod
    def from_autoencoder(cls, autoencoder, **detector_arguments):
        """Builds a detector on a copy of a trained autoencoder.

        Args:
            autoencoder: A `ConvAutoencoder`, or any Keras model with an `encoder` and a
                `decoder`.
            **detector_arguments: Arguments of `OneClassDetector` other than these two.

        Returns:
            A `OneClassDetector`, which needs `adapt`.

        Raises:
            ValueError: If `autoencoder` has no `encoder` or no `decoder`.
        """
        parts = [getattr(autoencoder, name, None) for name in ("encoder", "decoder")]
        if not all(isinstance(part, keras.Model) for part in parts):
            raise ValueError(
                "`autoencoder` must be a Keras model whose attributes `encoder` and `decoder` are "
                f"ones too; got {autoencoder!r}."
            )
        return cls(*(copy_model(part) for part in parts), **detector_arguments)

    @property
    def threshold(self):
        """The probability from which on an image is called fake: 0.5 by construction."""
        return 0.5

    def adapt(self, data, validation_data=None, validation_split=0.3, batch_size=64, seed=0):
        """Fits the distance to real images, and the threshold to others of them.

        A few reals per feature are needed for the distance (the detector has 48 features and
        two per channel of the latent), and at least 1 / `false_positive_rate` − 1 for the
        threshold: 19 for 5 %. Hundreds make it steady: with m of them, the rate that one
        detector really has differs from the stated one by about √(rate · (1 − rate) / m).

        Args:
            data: Real images in [0, 1]: an array, or a dataset (`tf.data`, `PyDataset`, any
                iterable) of batches of images or of pairs `(images, labels)`.
            validation_data: The same, for the threshold. Give it where images come in groups,
                such as several of one person or video, that must not be on both sides.
            validation_split: Float in (0, 1), the share of `data` that is drawn for the
                threshold where there is no `validation_data`.
            batch_size: Integer, images in a batch; a dataset has batches of its own.
            seed: Integer, seed of that draw.

        Raises:
            ValueError: If there are too few images, values outside [0, 1], or fakes among the
                labels.
        """
        if not 0 < validation_split < 1:
            raise ValueError(
                f"`validation_split` must lie between 0 and 1; got {validation_split}."
            )
        features = self._features(data, "data", batch_size)
        if validation_data is None:
            order = np.random.default_rng(seed).permutation(len(features))
            # Rounded, lest 0.07 * 100 = 7.000000000000001 and its like decide.
            held_out = math.ceil(round(validation_split * len(features), 9))
            features, validation = features[order[held_out:]], features[order[:held_out]]
        else:
            validation = self._features(validation_data, "validation_data", batch_size)
        rate, count = self.false_positive_rate, len(validation)
        exceeding = math.floor(round(rate * (count + 1), 9))
        if len(features) < 2 or exceeding < 1:
            raise ValueError(
                "`data` holds too few images: the distance needs two or more, and "
                f"`false_positive_rate`={rate} at least {math.ceil(round(1 / rate, 9)) - 1} others "
                f"for the threshold; there are {len(features)} and {count}."
            )
        if len(features) <= features.shape[1]:
            warnings.warn(
                f"The distance is fitted to {len(features)} images in {features.shape[1]} "
                "features; it is then little more than a sum over features, and misses fakes. "
                "Give a few images per feature.",
                UserWarning,
                stacklevel=2,
            )

        distance = self.get_layer("distance")
        distance.adapt(features)
        distances = np.sort(ops.convert_to_numpy(distance(validation))[:, 0])
        # So much above that rounding cannot make the two equal.
        squared_threshold = max(distances[-exceeding], np.float32(1e-6)) * np.float32(1 + 1e-6)
        self.get_layer("threshold").squared_threshold.assign(squared_threshold)

    def _features(self, data, name, batch_size):
        model = keras.Model(self.inputs[0], self.get_layer("distance").input)
        features = [
            model.predict_on_batch(_real_images(batch, name, self.class_names))
            for batch in _batches(data, name, batch_size)
        ]
        if not features:
            raise ValueError(f"`{name}` holds no images.")
        return np.concatenate(features)

    def make_predict_function(self, force=False):
        self._check_adapted()
        return super().make_predict_function(force)

    def make_test_function(self, force=False):
        self._check_adapted()
        return super().make_test_function(force)

    def _check_adapted(self):
        threshold = ops.convert_to_numpy(self.get_layer("threshold").squared_threshold)
        if np.isnan(threshold):
            raise ValueError(
                f"The detector {self.name!r} has seen no real images yet, and has no threshold. "
                "Call `detector.adapt(real_images)` first."
            )

    def default_compile_arguments(self):
        fake = self.class_names.index("fake") if "fake" in self.class_names else 0
        return {
            "optimizer": keras.optimizers.Adam(1e-3),
            "loss": keras.losses.CategoricalCrossentropy(),
            "metrics": [EqualErrorRate(class_id=fake)],
        }

    def get_config(self):
        config = super().get_config()
        config.update(
            encoder=keras.saving.serialize_keras_object(self.encoder),
            decoder=keras.saving.serialize_keras_object(self.decoder),
            class_names=self.class_names,
            false_positive_rate=self.false_positive_rate,
        )
        return config


@keras.saving.register_keras_serializable(package="keras_deepfake")
class _DistanceThreshold(keras.layers.Layer):
    """P(fake) = d² / (d² + t²) and its complement, from squared distances d²."""

    def __init__(self, fake_column=0, **kwargs):
        super().__init__(**kwargs)
        self.fake_column = fake_column

    def build(self, input_shape):
        self.squared_threshold = self.add_weight(
            name="squared_threshold", shape=(), initializer=_nan, trainable=False
        )

    def call(self, inputs):
        total = inputs + self.squared_threshold
        columns = [inputs / total, self.squared_threshold / total]
        return ops.concatenate(columns if self.fake_column == 0 else columns[::-1], axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 2)

    def get_config(self):
        return {**super().get_config(), "fake_column": self.fake_column}


def _nan(shape, dtype=None):
    return ops.full(shape, float("nan"), dtype=dtype)


def _batches(data, name, batch_size):
    if hasattr(data, "paths"):
        raise ValueError(
            f"`{name}` must hold images, not an `ImageIndex`. Read them with "
            "`kd.datasets.reconstruction_dataset(index, image_size)`."
        )
    if hasattr(data, "shape"):
        return (data[start : start + batch_size] for start in range(0, len(data), batch_size))
    if isinstance(data, keras.utils.PyDataset):
        return (data[place] for place in range(len(data)))
    if isinstance(data, tuple) or not hasattr(data, "__iter__"):
        raise ValueError(
            f"`{name}` must be an array of images or a dataset of batches; got "
            f"{type(data).__name__}. Of a pair `(images, labels)` of arrays give the images that "
            "are real."
        )
    return data


def _real_images(batch, name, class_names):
    """The images of a batch, checked."""
    images, *labels = batch if isinstance(batch, (tuple, list)) else (batch,)
    images = ops.convert_to_numpy(images)
    if images.ndim != 4:
        raise ValueError(
            f"`{name}` must hold batches of images, which have 4 axes; got shape {images.shape}."
        )
    low, high = images.min(initial=0), images.max(initial=0)
    # Resizing may leave the range by rounding. NaN fails both comparisons.
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise ValueError(
            f"`{name}` must hold pixel values in [0, 1]; got values from {low:g} to {high:g}. "
            "Divide values from 0 to 255 by 255."
        )
    labels = ops.convert_to_numpy(labels[0]) if labels else np.zeros(0)
    if labels.ndim == 2 and labels.shape[1] == 2:
        labels = labels[:, class_names.index("fake") if "fake" in class_names else 0]
    # A dataset for an autoencoder has the images for labels.
    if labels.ndim <= 2 and np.any(labels):
        raise ValueError(
            f"`{name}` must hold real images only; the labels say that some are fake. Leave "
            "those out."
        )
    return images
