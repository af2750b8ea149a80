"""The classifier of the recipe's second stage."""

import keras
import numpy as np

from keras_deepfake._arguments import (
    MOST_PLACES,
    check_choice,
    check_entries,
    check_flag,
    check_integer,
    check_number,
    check_policy,
    check_seed,
)
from keras_deepfake._classes import check_class_names, class_numbers, find_fake
from keras_deepfake.models import solved_head
from keras_deepfake.models._encoders import (
    accepts_any_size,
    check_encoder,
    computing_layers,
    policy_of,
    pooling_layer,
    residual_encoder,
    sides_of,
    with_policy_and_size,
    without_lists,
)
from keras_deepfake.models._encoding import encode
from keras_deepfake.models._name_scopes import own_name_scope
from keras_deepfake.models.detection_model import DetectionModel
from keras_deepfake.models.model_copy import copy_model
from keras_deepfake.models.training_data import check_classes, groups_of, takes_class_numbers


@keras.saving.register_keras_serializable(package="keras_deepfake")
class EncoderClassifier(DetectionModel):
    """Encoder, pooling, and a regularised softmax (logistic regression) head.

    The head alone is trained with `from_autoencoder(..., trainable_encoder=False)` (a linear
    probe); by default the whole network is fine-tuned, as in the study. `compile()` without
    arguments sets Adam at 1e-3, categorical cross-entropy (binary for a sigmoid head),
    accuracy and, with two classes, precision and recall of the fake class. Labels are one-hot;
    with `loss="sparse_categorical_crossentropy"` they are integers, and the default metric is
    their accuracy.

    Args:
        encoder: A built Keras model from images to one feature map (4 axes), to tokens
            `(batch, tokens, channels)`, or to a vector `(batch, channels)`. It is shared, and
            not changed.
        class_names: Strings, the classes in the order of the output's columns.
        pooling: What makes a vector of the encoder's output. Of a map `"flatten"`, `"avg"`,
            `"max"` or `"gem"`; of tokens `"flatten"`, `"avg"`, `"max"` or `"cls"`, the first
            one; of a vector `None` (`"flatten"` does nothing). Or a Keras layer. Flattening keeps
            where in the face a feature was seen and binds the classifier to the encoder's image
            size; the others accept images of any size that the encoder can process.
        activation: `"softmax"`, or `"sigmoid"` for an independent probability per class.
        l1: Float of 0 or more, the L1 penalty on the kernel of the head.
        l2: Float of 0 or more, the L2 penalty on the kernel of the head.
        dropout: Float in [0, 1), the rate of dropout before the head.
        **kwargs: Base model arguments: `name`, and `dtype`, a policy for every layer. An
            encoder that has another policy is then copied under this one. The head computes
            in float32 in any case.

    Input shape:
        That of the encoder, floating point in [0, 1] for the library's own encoders.

    Output shape:
        `(batch, len(class_names))`: float32 probabilities.

    Raises:
        ValueError: If an argument does not fit the description, the encoder is not built as a
            graph from one input to one output, or its output does not suit the pooling.

    Example:
        ```python
        autoencoder = kd.models.ConvAutoencoder(image_shape=(32, 32, 3), filters=(16, 8))
        classifier = kd.models.EncoderClassifier.from_autoencoder(autoencoder, l1=1e-4, l2=1e-3)
        classifier.compile()
        images = np.random.default_rng(0).random((8, 32, 32, 3), "float32")
        labels = keras.utils.to_categorical([0, 1] * 4)  # columns: fake, real
        classifier.fit(images, labels, epochs=1, verbose=0)
        classifier.predict(images, verbose=0).shape  # (8, 2)
        ```
    """

    def __init__(
        self,
        encoder,
        class_names=("fake", "real"),
        pooling="flatten",
        activation="softmax",
        l1=0.0,
        l2=0.0,
        dropout=0.0,
        **kwargs,
    ):
        class_names = check_class_names(class_names)
        check_choice("activation", activation, ("softmax", "sigmoid"))
        l1, l2 = check_number("l1", l1, 0), check_number("l2", l2, 0)
        dropout = check_number("dropout", dropout, 0, below=1)
        dtype = kwargs.pop("dtype", None)
        is_own = isinstance(encoder, dict)
        if is_own:
            with own_name_scope("encoder_classifier"):
                encoder = keras.saving.deserialize_keras_object(encoder)
        encoder = without_lists(encoder)
        check_encoder(encoder, pooling)
        # Without `dtype` the encoder keeps its policies and the rest follows its last layer.
        policy = check_policy(dtype) if dtype is not None else policy_of(encoder)
        if dtype is not None and any(x.dtype_policy != policy for x in computing_layers(encoder)):
            encoder, is_own = copy_model(encoder, policy), True
        encoder = with_policy_and_size(encoder, policy, pooling != "flatten", is_own)

        # === Layers ===
        pooling, pool = pooling_layer(encoder, pooling, policy)
        dropout_layer = keras.layers.Dropout(dropout, dtype=policy, name="dropout")
        head = keras.layers.Dense(
            len(class_names),
            activation=activation,
            kernel_regularizer=keras.regularizers.L1L2(l1, l2) if l1 or l2 else None,
            dtype="float32",
            name="head",
        )

        # === Functional model ===
        with own_name_scope("encoder_classifier"):
            inputs = keras.Input(encoder.inputs[0].shape[1:], name="images")
            x = encoder(inputs)
            if pool is not None:
                x = pool(x)
            if dropout:
                x = dropout_layer(x)
            super().__init__(inputs, head(x), **kwargs)
        if accepts_any_size(encoder):
            self.input_spec = encoder.input_spec

        # === Config ===
        self.dtype_policy = policy
        self.encoder = encoder
        self.class_names = class_names
        self.pooling = pooling
        self.activation = activation
        self.l1 = l1
        self.l2 = l2
        self.dropout = dropout
        self._dtype_argument = None if dtype is None else policy

    @classmethod
    def from_autoencoder(
        cls,
        autoencoder,
        *,
        features="latent",
        trainable_encoder=True,
        copy_encoder=True,
        dtype=None,
        **classifier_arguments,
    ):
        """Builds a classifier on what a trained autoencoder makes of images.

        The latent is what the encoder keeps of an image. The residual x − x̂ is what the
        reconstruction misses: above all the high frequencies, where generators err. Of it
        the classifier sees a fixed measurement: the autoencoder is copied, frozen for good
        and run as in inference. Blocks like those of the encoder then make a feature map of
        the residual. They start from fresh weights, as the trained ones expect images, which
        are positive and smooth, whereas residuals are neither.

        Args:
            autoencoder: A `ConvAutoencoder`, or any Keras model with an `encoder` and, for
                residuals, a `decoder`.
            features: `"latent"`, `"residual"`, or `"both"`, whose feature maps are
                concatenated.
            trainable_encoder: Boolean, whether the whole encoder is trained with the head.
                To fine-tune after a linear probe, set `classifier.encoder.trainable = True`
                and compile again with a low learning rate; the copied autoencoder behind a
                residual stays frozen. A probe of residuals sees what untrained blocks make
                of them.
            copy_encoder: Boolean. By default the classifier gets a copy, weights bit for
                bit, so that neither training nor freezing reaches back into the autoencoder.
                `False` shares the encoder until either model is saved and reloaded; residuals
                always need the copy.
            dtype: Dtype policy of the copy and the classifier; `None` keeps the encoder's.
            **classifier_arguments: Arguments of `EncoderClassifier` other than `encoder`.

        Returns:
            An `EncoderClassifier`, not compiled.

        Raises:
            ValueError: If `autoencoder` lacks the `encoder` or a `decoder` that is needed,
                `dtype` is given for a shared encoder, or the arguments contradict each other.

        Example:
            ```python
            autoencoder = kd.models.ConvAutoencoder(image_shape=(32, 32, 3), filters=(16, 8))
            classifier = kd.models.EncoderClassifier.from_autoencoder(
                autoencoder, features="both", pooling="avg"
            )
            classifier.encoder.output_shape  # (None, 8, 8, 16)
            ```
        """
        encoder = getattr(autoencoder, "encoder", None)
        if not isinstance(encoder, keras.Model):
            raise ValueError(
                "`autoencoder` must be a Keras model whose `encoder` attribute is one too; got "
                f"{autoencoder!r}. Pass a bare encoder to `EncoderClassifier(encoder)` instead."
            )
        check_choice("features", features, ("latent", "residual", "both"))
        if features != "latent" and not copy_encoder:
            raise ValueError(
                f"`features={features!r}` needs a copy of the autoencoder, which must not change "
                "while the classifier trains: leave out `copy_encoder=False`."
            )
        if dtype is not None and not copy_encoder:
            raise ValueError(
                "A shared encoder keeps its dtype policy: leave out `dtype`, or copy the encoder."
            )
        if dtype is not None:
            check_policy(dtype)
        check_flag("trainable_encoder", trainable_encoder)
        check_flag("copy_encoder", copy_encoder)
        check_encoder(encoder, classifier_arguments.get("pooling", "flatten"))
        if copy_encoder:
            encoder = copy_model(encoder, dtype)
        if copy_encoder or not trainable_encoder:
            for layer in encoder._flatten_layers():
                layer.trainable = trainable_encoder
        if features != "latent":
            latent_encoder = encoder if features == "both" else None
            encoder = residual_encoder(autoencoder, latent_encoder)
            encoder.trainable = trainable_encoder
        if copy_encoder:
            takes_any_size = classifier_arguments.get("pooling", "flatten") != "flatten"
            encoder = with_policy_and_size(encoder, policy_of(encoder), takes_any_size, True)
        return cls(encoder, dtype=dtype, **classifier_arguments)

    def fit_head(
        self,
        x,
        y=None,
        groups=None,
        l2=None,
        standardize=True,
        batch_size=32,
        seed=0,
        verbose="auto",
    ):
        """Solves the head to its optimum on what the encoder, as it is, makes of the images.

        Every image is encoded once. The logistic regression on these vectors is convex, and
        scikit-learn solves it: it minimises the mean cross-entropy plus `l2` times the sum of
        the squared weights of standardised features. Of two classes these are the weights of the
        log-odds, the difference of the kernel's columns; of several under sigmoids, each class is
        a problem of its own. Of several penalties it takes the one of
        the smallest cross-entropy in 5-fold cross-validation. Standardisation is folded into
        kernel and bias, so that the model stays what it was. The encoder is not trained, and the
        `l1`, `l2` and `dropout` of the constructor, which are those of `fit`, do not act.

        Args:
            x: The images: an `ImageIndex`, an array, or a dataset of batches with labels, which
                is read once.
            y: Labels beside an array: one-hot, or class numbers.
            groups: What images belong together (persons, videos), a value for each; no group is
                on both sides of the cross-validation. By default those of the index, or of the
                index behind a `classification_dataset`.
            l2: Float above 0, or several to choose from. By default from 10 to 10^-5, the
                strongest first, as far as they help.
            standardize: Boolean, whether each feature is divided by its own deviation. `False`
                divides all by one number, for features whose scales mean something, such as the
                frequencies of `kd.layers.ResidualCooccurrence`.
            batch_size: Integer, how many images are encoded at a time.
            seed: Non-negative integer, of the parts of the cross-validation.
            verbose: 0 for silence, 1 or `"auto"` for a progress bar of the encoding.

        Returns:
            A named tuple of `l2`, the penalty; `losses`, a dictionary from penalties to their
            cross-entropies; `probabilities`, an array `(images, classes)` of what heads that had
            not seen an image say of it; and `kernel` and `bias` of the head.

        Raises:
            ValueError: If an argument does not fit the description, a class has no images, or
                too few images or groups to choose a penalty.

        Example:
            ```python
            encoder = kd.models.pretrained_encoder("MobileNetV2", (32, 32, 3), weights=None)
            classifier = kd.models.EncoderClassifier(encoder, pooling="avg")
            images = np.random.default_rng(0).random((20, 32, 32, 3), "float32")
            solution = classifier.fit_head(images, [0, 1] * 10, verbose=0)  # 0 is fake
            solution.l2
            ```

        Reference:
            Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", 2009,
            sections 4.4 (logistic regression) and 7.10 (cross-validation).
        """
        l2 = solved_head.check_penalties(l2)
        check_flag("standardize", standardize)
        batch_size = check_integer("batch_size", batch_size, 1, MOST_PLACES)
        seed = check_seed(seed)
        check_choice("verbose", verbose, (0, 1, "auto"))
        check_classes(self, x, "x")
        groups = groups_of(x, groups, "x")
        if y is not None and len(getattr(x, "shape", ())) != 4:
            raise ValueError(
                "`y` must be left out unless `x` is an array of images: an `ImageIndex` and a "
                f"dataset bring their labels; got {type(x).__name__} for `x`."
            )
        known = getattr(x, "labels", None) if y is None else class_numbers(y, len(self.class_names))
        if known is not None:
            groups = None if groups is None else check_entries("groups", groups, len(known))
            solved_head.check_solvable(known, len(self.class_names), groups, l2, seed=seed)

        head = solved_head.check_head(self.get_layer("head"))
        encoder = keras.Model(self.inputs[0], head.input)
        encoder.input_spec = self.input_spec  # perhaps for images of any size
        features, labels = encode(
            encoder,
            x if y is None else (x, np.array(known)),
            image_size=self._image_size(),
            batch_size=batch_size,
            num_classes=len(self.class_names),
            verbose=0 if verbose == 0 else 1,
        )
        if groups is not None:
            groups = check_entries("groups", groups, len(labels))
        solution = solved_head.solve_head(
            features,
            labels,
            len(self.class_names),
            groups,
            l2,
            standardize,
            is_softmax=self.activation == "softmax",
            seed=seed,
        )
        head.set_weights([solution.kernel, solution.bias])
        return solution

    def _image_size(self):
        """The size that the encoder asks for, or `None` where it takes any."""
        sides = sides_of(self.encoder)
        return None if None in sides or accepts_any_size(self) else tuple(sides)

    def default_compile_arguments(self):
        metrics = [keras.metrics.CategoricalAccuracy(name="accuracy")]
        fake = self._fake_index()
        if fake is not None:
            # Over both columns precision and recall would merely repeat the accuracy.
            metrics += [
                keras.metrics.Precision(class_id=fake, name="precision"),
                keras.metrics.Recall(class_id=fake, name="recall"),
            ]
        return {
            "optimizer": keras.optimizers.Adam(1e-3),
            "loss": (
                keras.losses.BinaryCrossentropy()
                if self.activation == "sigmoid"
                else keras.losses.CategoricalCrossentropy()
            ),
            "metrics": metrics,
        }

    def compile(self, optimizer="auto", loss="auto", *, metrics="auto", **kwargs):
        if isinstance(metrics, str) and metrics == "auto" and takes_class_numbers(loss):
            metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        super().compile(optimizer, loss, metrics=metrics, **kwargs)

    compile.__doc__ = DetectionModel.compile.__doc__

    def _fake_index(self):
        """The column of the fake class, if there are two and their names tell."""
        try:
            return find_fake(self.class_names) if len(self.class_names) == 2 else None
        except ValueError:
            return None

    def get_config(self):
        config = super().get_config()
        config.update(
            encoder=keras.saving.serialize_keras_object(self.encoder),
            class_names=self.class_names,
            pooling=keras.saving.serialize_keras_object(self.pooling)
            if isinstance(self.pooling, keras.layers.Layer)
            else self.pooling,
            activation=self.activation,
            l1=self.l1,
            l2=self.l2,
            dropout=self.dropout,
            dtype=keras.dtype_policies.serialize(self._dtype_argument)
            if self._dtype_argument
            else None,
        )
        return config
