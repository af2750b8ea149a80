"""The search space of classifiers on an encoder."""

import keras
import keras_tuner
import numpy as np
import tensorflow as tf

from keras_deepfake._arguments import check_choice, check_integer
from keras_deepfake._classes import check_class_names
from keras_deepfake.hypermodels._encoder_sources import (
    EncoderFunction,
    check_autoencoder,
    check_encoder,
)
from keras_deepfake.hypermodels._fit_arguments import data_order, in_batches
from keras_deepfake.hypermodels._frozen_features import (
    ENCODING_BATCH_SIZE,
    FrozenFeatures,
    can_be_kept,
)
from keras_deepfake.hypermodels._ranges import (
    check_batch_sizes,
    check_choices,
    check_image_shape,
    check_learning_rates,
    check_numbers,
    choose,
    declare_learning_rate,
)
from keras_deepfake.hypermodels._search_checks import check_pixels
from keras_deepfake.hypermodels.hyper_conv_autoencoder import HyperConvAutoencoder
from keras_deepfake.hypermodels.seeded_hyper_model import SeededHyperModel
from keras_deepfake.models import EncoderClassifier, solved_head
from keras_deepfake.models.model_copy import copy_model

PENALTIES = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
# The hyperparameters that do not change the outputs of a frozen encoder.
HEAD = (
    "l1",
    "l2",
    "pooling",
    "head_activation",
    "dropout",
    "trainable_encoder",
    "learning_rate",
    "batch_size",
)
# What is no hyperparameter of a head that is solved.
SOLVED = {
    "l1": 0.0,
    "dropout": 0.0,
    "trainable_encoder": False,
    "learning_rate": 1e-3,
    "batch_size": ENCODING_BATCH_SIZE,
}
PRETRAINING_BATCH_SIZE = 64
# Of so many encoders the outputs are kept, where a function of hyperparameters makes them.
MOST_ENCODERS = 4


class HyperEncoderClassifier(SeededHyperModel):
    """KerasTuner search space of `EncoderClassifier`s.

    The hyperparameters are `l1`, `l2`, `pooling`, `head_activation`, `dropout`,
    `trainable_encoder`, `learning_rate` and `batch_size`, and with an autoencoder `features`.
    Their defaults are the study's (0.01, 0.1, flatten, softmax, no dropout, fine-tuned, 1e-3,
    128, the latent), or what comes nearest within the ranges given here. A range of one value
    fixes the hyperparameter.

    The encoder comes from one of three sources, and is copied afresh in every trial:

    - `autoencoder`, a trained one;
    - `encoder`, any Keras model, or a function of the hyperparameters that makes one and may
      declare hyperparameters of its own;
    - neither, or a `HyperConvAutoencoder` as `autoencoder`: each trial pretrains an autoencoder
      of its own, and the architecture is tuned too: `depth`, `filters_0`, …, `activation`,
      `normalization` and `corruption`. Callbacks and checkpoints of the search see the
      classifier only, and a trial that goes on from a checkpoint, as Hyperband's do, is not
      pretrained again.

    Models are compiled with metrics named `accuracy`, `auc` and, for two classes, `precision`
    and `recall` of the fake class. `auc` is the mean over the columns: for two softmax columns
    the AUC of the fake class, for two sigmoid columns, which rank the images each in its own
    way, that of both. A good objective is `keras_tuner.Objective("val_auc", "max")`.

    Where the encoder is frozen, its outputs are computed once and reused in all epochs and, if
    its weights are the same, in all trials. The metrics are those of training on the images, to
    float noise. This holds for arrays and for datasets of this library; see `cache_features`
    for others. With `validation_split` or a number of steps the encoder runs in every step.

    With `head="solved"` a trial trains nothing: its head is the logistic regression that
    `EncoderClassifier.fit_head` solves, on the frozen encoder's outputs, in one epoch. The
    hyperparameters are then those of the encoder, `pooling`, `head_activation` and `l2`, the
    penalty on the weights of standardised features; all other ranges do not act. A search over
    encoders, poolings and penalties encodes the images once for each encoder.

    Search on arrays or `tf.data.Dataset`s with one-hot labels; batches of a dataset are resized
    to each trial's `batch_size`. Every trial has its own seed, a function of `seed` and its
    hyperparameters.

    Args:
        image_shape: Shape of the images in the Keras data format, with fixed sides.
        class_names: Strings, the classes in the order of the labels' columns.
        autoencoder: A trained autoencoder, or any Keras model with an `encoder`. `None`, or a
            `HyperConvAutoencoder` with ranges of your own, tunes the architecture too.
        encoder: A built Keras model from images to a feature map, tokens or a vector, or a
            function from `keras_tuner.HyperParameters` to such a model, which is called several
            times a trial. Not beside `autoencoder`.
        features: Among `"latent"`, `"residual"` and `"both"`: what of an autoencoder the
            classifier sees, as in `EncoderClassifier.from_autoencoder`.
        pretraining_dataset: Images to pretrain on: an array, or a `tf.data.Dataset` of images
            or of tuples that begin with them. By default the training images of the search.
        pretraining_epochs: Integer of 0 or more.
        head: `"trained"` or `"solved"`.
        l1: Ascending numbers of 0 or more, L1 penalties on the head; by default powers of ten
            and 0.
        l2: The same for the L2 penalty. Those of a solved head are above 0, by default from
            10^-5 to 10.
        pooling: Among `"flatten"`, `"avg"`, `"max"` and `"gem"` for a feature map, and `"cls"`
            in place of `"gem"` for tokens. `None`: all that suit the encoder. One that ends in
            a vector has no pooling.
        head_activation: Among `"softmax"` and `"sigmoid"`.
        dropout: Ascending rates in [0, 1).
        trainable_encoder: Among `True` and `False`, for all layers of the encoder.
        learning_rate: `(minimum, maximum)` of Adam's learning rate, searched by its logarithm.
        batch_size: Ascending integers.
        cache_features: Boolean or `None`, whether outputs of a frozen encoder are kept. `None`:
            of arrays, and of datasets as this library makes them. `True`: of any dataset that
            ends, which must hold the same images in every epoch; the order of training is then
            drawn anew in each. `False`: never.
        seed: Integer of 0 or more.
        name: Name of the hypermodel.
        tunable: Boolean; `False` leaves every hyperparameter at its default.

    Raises:
        ValueError: If a range is empty, out of bounds or not ascending, both `autoencoder` and
            `encoder` are given, or `image_shape` is not theirs.

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

        An encoder with hyperparameters of its own:
        ```python
        def spectrum(hp):
            layers = [keras.Input((16, 16, 3)), kd.layers.AzimuthalSpectrum()]
            layers += [keras.layers.Flatten()]
            layers += [keras.layers.Dense(hp.Int("units", 8, 32, step=8), activation="relu")]
            return keras.Sequential(layers)

        hypermodel = kd.hypermodels.HyperEncoderClassifier((16, 16, 3), encoder=spectrum)
        ```
    """

    def __init__(
        self,
        image_shape,
        class_names=("fake", "real"),
        autoencoder=None,
        encoder=None,
        features="latent",
        pretraining_dataset=None,
        pretraining_epochs=10,
        head="trained",
        l1=PENALTIES,
        l2=None,
        pooling=None,
        head_activation=("softmax", "sigmoid"),
        dropout=(0.0, 0.1, 0.25, 0.5),
        trainable_encoder=(True, False),
        learning_rate=(1e-5, 1e-2),
        batch_size=(16, 32, 64, 128),
        cache_features=None,
        seed=0,
        name=None,
        tunable=True,
    ):
        super().__init__(seed=seed, name=name, tunable=tunable)
        self.image_shape = check_image_shape(image_shape)
        self.class_names = check_class_names(class_names)
        if autoencoder is not None and encoder is not None:
            raise ValueError("Give `autoencoder` or `encoder`, not both: each brings an encoder.")
        self.features = check_choices("features", features, ("latent", "residual", "both"))
        if encoder is None:
            if autoencoder is None:
                autoencoder = HyperConvAutoencoder(self.image_shape)
            poolings = check_autoencoder(autoencoder, self.image_shape, self.features)
        elif self.features != ("latent",):
            raise ValueError(
                f"`features` are those of an `autoencoder`; got {self.features} for an `encoder`."
            )
        elif isinstance(encoder, keras.Model) or not callable(encoder):
            poolings = check_encoder(encoder, self.image_shape)
        else:
            encoder = EncoderFunction(encoder, HEAD)
            hp = keras_tuner.HyperParameters()
            poolings = check_encoder(encoder.make(encoder.declare(hp)), self.image_shape)
        self.tunes_architecture = isinstance(autoencoder, HyperConvAutoencoder)
        self.autoencoder = autoencoder
        self.encoder = encoder
        self.pooling = poolings
        if pooling is not None:
            if not poolings:
                raise ValueError(f"`pooling` of a vector must be None; got {pooling!r}.")
            self.pooling = check_choices("pooling", pooling, poolings)
        self.pretraining_dataset = pretraining_dataset
        if pretraining_dataset is not None:
            check_pixels("pretraining_dataset", pretraining_dataset)
        self.pretraining_epochs = check_integer("pretraining_epochs", pretraining_epochs, 0)
        self.head = check_choice("head", head, ("trained", "solved"))
        self.l1 = check_numbers("l1", l1, 0)
        if l2 is None:
            l2 = sorted(solved_head.PENALTIES) if head == "solved" else PENALTIES
        self.l2 = check_numbers("l2", l2, 0)
        if head == "solved" and self.l2[0] == 0:
            raise ValueError(f"`l2` of a solved head must be above 0; got {self.l2}.")
        self.head_activation = check_choices(
            "head_activation", head_activation, ("softmax", "sigmoid")
        )
        self.dropout = check_numbers("dropout", dropout, 0, 0.999)
        self.trainable_encoder = check_choices(
            "trainable_encoder", trainable_encoder, (True, False)
        )
        self.learning_rate = check_learning_rates(learning_rate)
        self.batch_size = check_batch_sizes(batch_size)
        self.cache_features = check_choice("cache_features", cache_features, (None, True, False))
        self._frozen_features = FrozenFeatures(
            MOST_ENCODERS if isinstance(encoder, EncoderFunction) else 1
        )

    def settings(self, hp):
        """Declares every hyperparameter and returns the active ones by name.

        Args:
            hp: `keras_tuner.HyperParameters`.

        Returns:
            Dictionary.
        """
        settings = self._encoder_settings(hp)
        is_trained = self.head == "trained"
        if is_trained:
            settings["l1"] = choose(hp, "l1", self.l1, 0.01)
        settings["l2"] = choose(hp, "l2", self.l2, 0.1)
        if self.pooling:
            settings["pooling"] = choose(hp, "pooling", self.pooling, "flatten")
        settings["head_activation"] = choose(hp, "head_activation", self.head_activation, "softmax")
        if not is_trained:
            return {**settings, **SOLVED}
        settings["dropout"] = choose(hp, "dropout", self.dropout, 0.0)
        settings["trainable_encoder"] = choose(
            hp, "trainable_encoder", self.trainable_encoder, True
        )
        settings["learning_rate"] = declare_learning_rate(hp, self.learning_rate)
        settings["batch_size"] = choose(hp, "batch_size", self.batch_size, 128)
        return settings

    def build_model(self, settings):
        autoencoder = self.autoencoder
        if self.tunes_architecture:
            autoencoder = self.autoencoder.build_autoencoder(settings)
        classifier = self._classifier(settings, autoencoder)
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
        encoder_settings = {name: value for name, value in settings.items() if name not in HEAD}
        is_kept = can_be_kept(arguments, self.cache_features)
        if self.head == "solved":
            return self._frozen_features.solve(
                model, encoder_settings, arguments, settings["l2"], self._metrics(model), is_kept
            )
        encoder = model.encoder
        has_random_layers = len(encoder.variables) > len(encoder.weights)
        if encoder.trainable_variables or has_random_layers or not is_kept:
            return super().fit_model(settings, model, arguments)
        return self._frozen_features.fit(
            model,
            encoder_settings,
            arguments,
            settings["batch_size"],
            self._metrics(model),
            self.seed,
        )

    def _encoder_settings(self, hp):
        """Declares what the encoder depends on and returns the active values by name."""
        settings = {}
        if self.tunes_architecture:
            settings = self.autoencoder.architecture(hp)
        elif isinstance(self.encoder, EncoderFunction):
            settings = self.encoder.declare(hp)
        if self.autoencoder is not None:
            settings["features"] = choose(hp, "features", self.features, "latent")
        return settings

    def _classifier(self, settings, autoencoder):
        arguments = {
            "class_names": self.class_names,
            "pooling": settings.get("pooling"),
            "activation": settings["head_activation"],
            "l1": settings["l1"],
            # The penalty of a solved head is no term of the loss.
            "l2": 0.0 if self.head == "solved" else settings["l2"],
            "dropout": settings["dropout"],
        }
        if autoencoder is not None:
            return EncoderClassifier.from_autoencoder(
                autoencoder,
                features=settings["features"],
                trainable_encoder=settings["trainable_encoder"],
                **arguments,
            )
        encoder = self.encoder
        if isinstance(encoder, EncoderFunction):
            encoder = encoder.make(settings)
        encoder = copy_model(encoder)
        encoder.trainable = settings["trainable_encoder"]
        return EncoderClassifier(encoder, **arguments)

    def _metrics(self, classifier):
        metrics = classifier.default_compile_arguments()["metrics"]
        # The mean over the columns; of a softmax over two classes, the AUC of the fake one. With
        # `label_weights` Keras could not reload the compiled model.
        # Many thresholds, as a head that is sure has nearly all scores close to 0 or 1.
        auc = keras.metrics.AUC(
            num_thresholds=10_000, multi_label=True, num_labels=len(self.class_names), name="auc"
        )
        return [*metrics, auc]

    def _pretrain(self, settings, model, arguments):
        """Trains an autoencoder without the search's callbacks; leaves it in `model`."""
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
        pretrained = self._classifier(settings, autoencoder)
        model.encoder.set_weights(pretrained.encoder.get_weights())
