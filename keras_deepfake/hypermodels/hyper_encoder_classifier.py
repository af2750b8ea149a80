"""The search space of classifiers on the encoder of an autoencoder."""

import keras
import numpy as np
import tensorflow as tf

from keras_deepfake.hypermodels._frozen_features import FrozenFeatures
from keras_deepfake.hypermodels._ranges import (
    check_choices,
    check_interval,
    check_numbers,
    choose,
)
from keras_deepfake.hypermodels.hyper_conv_autoencoder import (
    HyperConvAutoencoder,
    declare_learning_rate,
)
from keras_deepfake.hypermodels.seeded_hyper_model import (
    SeededHyperModel,
    data_order,
    in_batches,
)
from keras_deepfake.models import EncoderClassifier

PENALTIES = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
PRETRAINING_BATCH_SIZE = 64


class HyperEncoderClassifier(SeededHyperModel):
    """KerasTuner search space of `EncoderClassifier`s.

    The hyperparameters are `l1`, `l2`, `pooling`, `head_activation`, `dropout`,
    `trainable_encoder`, `learning_rate` and `batch_size`. Their defaults are the study's
    (0.01, 0.1, flatten, softmax, no dropout, fine-tuned, 1e-3, 128), or what comes nearest
    within the ranges given here. A range of one value fixes the hyperparameter.

    With a trained `autoencoder` its encoder is copied afresh in every trial. Without one each
    trial pretrains an autoencoder of its own, and the architecture is tuned too: `depth`,
    `filters_0`, …, `activation`, `normalization` and `corruption` as in
    `HyperConvAutoencoder`. Callbacks and checkpoints of the search see the classifier only,
    and a trial that goes on from a checkpoint, as Hyperband's do, is not pretrained again.

    Models are compiled with metrics named `accuracy`, `auc` and, for two classes, `precision`
    and `recall` of the fake class. `auc` is the mean over the columns: for two softmax columns
    the AUC of the fake class, for two sigmoid columns, which rank the images each in its own
    way, that of both. A good objective is `keras_tuner.Objective("val_auc", "max")`.

    Where the encoder is frozen, its outputs are computed once a data set and reused in all
    epochs and, with a given `autoencoder`, in all trials. The metrics are those of training on
    the images, to float noise; where arrays are shuffled and features exceed 1 GiB, or a
    `tf.data.Dataset` not made by this library shuffles, the order of images is another one.
    With `validation_split`, a number of steps, or random numbers drawn by TensorFlow within a
    dataset, as an augmentation draws them, the encoder runs in every step.

    Search on arrays or `tf.data.Dataset`s with one-hot labels; batches of a dataset are resized
    to each trial's `batch_size`. Every trial has its own seed, a function of `seed` and its
    hyperparameters.

    Args:
        image_shape: Shape of the images in the Keras data format, with fixed sides.
        class_names: Strings, the classes in the order of the labels' columns.
        autoencoder: A trained autoencoder, or any Keras model with an `encoder`. `None`, or a
            `HyperConvAutoencoder` with ranges of your own, tunes the architecture too.
        pretraining_dataset: Images to pretrain on: an array, or a `tf.data.Dataset` of images
            or of tuples that begin with them. By default the training images of the search.
        pretraining_epochs: Integer of 0 or more.
        l1: Ascending numbers of 0 or more, L1 penalties on the head. The default ranges of `l1`
            and `l2` are powers of ten and 0.
        l2: The same for the L2 penalty.
        pooling: Among `"flatten"`, `"avg"`, `"max"` and `"gem"`.
        head_activation: Among `"softmax"` and `"sigmoid"`.
        dropout: Ascending rates in [0, 1).
        trainable_encoder: Among `True` and `False`.
        learning_rate: `(minimum, maximum)` of Adam's learning rate, searched by its logarithm.
        batch_size: Ascending integers.
        cache_features: Boolean. Set `False` where a dataset augments its images with random
            numbers that TensorFlow does not draw, as in a `py_function`: keeping the outputs of
            a frozen encoder would undo it.
        seed: Integer of 0 or more.
        name: Name of the hypermodel.
        tunable: Boolean; `False` leaves every hyperparameter at its default.

    Raises:
        ValueError: If a range is empty, out of bounds or not ascending, or `image_shape` is not
            that of `autoencoder`.

    Example:
        ```python
        import keras_tuner

        autoencoder = kd.models.ConvAutoencoder((16, 16, 3), filters=(8, 4))
        hypermodel = kd.hypermodels.HyperEncoderClassifier(
            (16, 16, 3), autoencoder=autoencoder, trainable_encoder=False, batch_size=(4, 8)
        )
        tuner = keras_tuner.RandomSearch(
            hypermodel, keras_tuner.Objective("val_auc", "max"), max_trials=2, seed=1
        )
        images = np.random.default_rng(0).random((8, 16, 16, 3), "float32")
        labels = keras.utils.to_categorical([0, 1] * 4)  # columns: fake, real
        results = kd.hypermodels.search(
            tuner, images, labels, validation_data=(images, labels), epochs=1, verbose=0
        )
        classifier = tuner.get_best_models()[0]
        ```
    """

    def __init__(
        self,
        image_shape,
        class_names=("fake", "real"),
        autoencoder=None,
        pretraining_dataset=None,
        pretraining_epochs=10,
        l1=PENALTIES,
        l2=PENALTIES,
        pooling=("flatten", "avg", "max", "gem"),
        head_activation=("softmax", "sigmoid"),
        dropout=(0.0, 0.1, 0.25, 0.5),
        trainable_encoder=(True, False),
        learning_rate=(1e-5, 1e-2),
        batch_size=(16, 32, 64, 128),
        cache_features=True,
        seed=0,
        name=None,
        tunable=True,
    ):
        super().__init__(seed=seed, name=name, tunable=tunable)
        self.image_shape = tuple(image_shape)
        self.class_names = tuple(class_names)
        if autoencoder is None:
            autoencoder = HyperConvAutoencoder(self.image_shape)
        self.tunes_architecture = isinstance(autoencoder, HyperConvAutoencoder)
        _check_autoencoder(autoencoder, self.image_shape)
        self.autoencoder = autoencoder
        self.pretraining_dataset = pretraining_dataset
        if not isinstance(pretraining_epochs, int) or pretraining_epochs < 0:
            raise ValueError(
                f"`pretraining_epochs` must be an integer of 0 or more; got {pretraining_epochs!r}."
            )
        self.pretraining_epochs = pretraining_epochs
        self.l1 = check_numbers("l1", l1, 0, float("inf"))
        self.l2 = check_numbers("l2", l2, 0, float("inf"))
        self.pooling = check_choices("pooling", pooling, ("flatten", "avg", "max", "gem"))
        self.head_activation = check_choices(
            "head_activation", head_activation, ("softmax", "sigmoid")
        )
        self.dropout = check_numbers("dropout", dropout, 0, 0.999)
        self.trainable_encoder = check_choices(
            "trainable_encoder", trainable_encoder, (True, False)
        )
        self.learning_rate = check_interval("learning_rate", learning_rate, 1e-12)
        self.batch_size = check_numbers("batch_size", batch_size, 1, float("inf"), int)
        self.cache_features = cache_features
        self._features = FrozenFeatures()

    def settings(self, hp):
        """Declares every hyperparameter and returns the active ones by name.

        Args:
            hp: `keras_tuner.HyperParameters`.

        Returns:
            Dictionary.
        """
        settings = self.autoencoder.architecture(hp) if self.tunes_architecture else {}
        settings["l1"] = choose(hp, "l1", self.l1, 0.01)
        settings["l2"] = choose(hp, "l2", self.l2, 0.1)
        settings["pooling"] = choose(hp, "pooling", self.pooling, "flatten")
        settings["head_activation"] = choose(hp, "head_activation", self.head_activation, "softmax")
        settings["dropout"] = choose(hp, "dropout", self.dropout, 0.0)
        settings["trainable_encoder"] = choose(
            hp, "trainable_encoder", self.trainable_encoder, True
        )
        settings["learning_rate"] = declare_learning_rate(hp, self.learning_rate)
        settings["batch_size"] = choose(hp, "batch_size", self.batch_size, 128)
        return settings

    def build_model(self, settings):
        if self.tunes_architecture:
            autoencoder = self.autoencoder.build_autoencoder(settings)
        else:
            autoencoder = self.autoencoder
        classifier = EncoderClassifier.from_autoencoder(
            autoencoder,
            class_names=self.class_names,
            trainable_encoder=settings["trainable_encoder"],
            pooling=settings["pooling"],
            activation=settings["head_activation"],
            l1=settings["l1"],
            l2=settings["l2"],
            dropout=settings["dropout"],
        )
        classifier.compile(
            optimizer=keras.optimizers.Adam(settings["learning_rate"]),
            metrics=self._metrics(classifier),
        )
        # Its state then goes into checkpoints and out of them, for trials that go on. Besides,
        # TensorFlow traces a step twice that makes variables.
        classifier.optimizer.build(classifier.trainable_variables)
        return classifier

    def fit_model(self, settings, model, arguments):
        # A trial that goes on has a trained encoder in its checkpoint.
        if self.tunes_architecture and not arguments.get("initial_epoch"):
            self._pretrain(settings, model, arguments)
        encoder = model.encoder
        has_random_layers = len(encoder.variables) > len(encoder.weights)
        if (
            self.cache_features
            and not encoder.trainable_variables
            and not has_random_layers
            and self._features.can_hold(arguments)
        ):
            return self._features.fit(
                model, arguments, settings["batch_size"], self._metrics(model), self.seed
            )
        return super().fit_model(settings, model, arguments)

    def _metrics(self, classifier):
        metrics = classifier.default_compile_arguments()["metrics"]
        # The mean over the columns; of a softmax over two classes, the AUC of the fake one. With
        # `label_weights` Keras could not reload the compiled model.
        auc = keras.metrics.AUC(
            num_thresholds=1000, multi_label=True, num_labels=len(self.class_names), name="auc"
        )
        return [*metrics, auc]

    def _pretrain(self, settings, model, arguments):
        """Trains an autoencoder without the search's callbacks; leaves the encoder in `model`."""
        data = self.pretraining_dataset
        data = arguments["x"] if data is None else data
        autoencoder = self.autoencoder.build_autoencoder(settings)
        autoencoder.compile()
        fit_arguments = {"epochs": self.pretraining_epochs, "verbose": 0}
        if isinstance(data, tf.data.Dataset):
            pairs = in_batches(data, PRETRAINING_BATCH_SIZE).map(lambda x, *_: (x, x))
            autoencoder.fit(pairs, shuffle=False, callbacks=[data_order()], **fit_arguments)
        else:
            data = np.asarray(data)
            autoencoder.fit(data, data, batch_size=PRETRAINING_BATCH_SIZE, **fit_arguments)
        model.encoder.set_weights(autoencoder.encoder.get_weights())


def _check_autoencoder(autoencoder, image_shape):
    if isinstance(autoencoder, HyperConvAutoencoder):
        shape = autoencoder.image_shape
    elif isinstance(getattr(autoencoder, "encoder", None), keras.Model):
        shape = tuple(autoencoder.encoder.input_shape[1:])
    else:
        raise ValueError(
            "`autoencoder` must be a Keras model with an `encoder`, a `HyperConvAutoencoder`, or "
            f"`None`; got {autoencoder!r}."
        )
    if shape != image_shape:
        raise ValueError(
            f"`image_shape` must be that of `autoencoder`, {shape}; got {image_shape}."
        )
