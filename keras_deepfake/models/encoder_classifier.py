"""The classifier of the recipe's second stage."""

import keras

from keras_deepfake.layers import GeMPooling
from keras_deepfake.models._model_copy import copy_model
from keras_deepfake.models._reconstruction_residual import ReconstructionResidual
from keras_deepfake.models.detection_model import DetectionModel


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
        encoder: A built Keras model from images to one 4-D feature map.
        class_names: Strings, the classes in the order of the output's columns. The positive
            class of detection metrics is the one named `"fake"`, else the first.
        pooling: `"flatten"`, `"avg"`, `"max"` or `"gem"`. Flattening keeps where in the face
            a feature was seen and binds the classifier to the encoder's image size; the
            others accept images of any size that the encoder can process.
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
        ValueError: If an argument does not fit the description, or the encoder has no fixed
            graph from one input to one 4-D output.

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
        if isinstance(encoder, dict):
            encoder = keras.saving.deserialize_keras_object(encoder)
        class_names = tuple(class_names)
        _check_arguments(class_names, pooling, activation, l1, l2, dropout)
        check_encoder(encoder, pooling)
        # Without `dtype` the encoder keeps its policies and the rest follows its last layer.
        dtype = kwargs.pop("dtype", None)
        if dtype is None:
            policy = [encoder, *computing_layers(encoder)][-1].dtype_policy
            if policy.quantization_mode is not None:
                policy = keras.dtype_policies.get(policy.name.partition("_from_")[2])
        else:
            policy = keras.dtype_policies.get(dtype)
            if any(layer.dtype_policy != policy for layer in computing_layers(encoder)):
                encoder = copy_model(encoder, policy)
        data_format = data_format_of(encoder)
        for model in encoder._flatten_layers():
            if isinstance(model, keras.Model):
                # Functional models forget their own policy when they are copied or saved.
                model.dtype_policy = policy
                shapes = [x.shape for x in getattr(model, "inputs", None) or ()]
                if pooling != "flatten" and len(shapes) == 1 and len(shapes[0]) == 4:
                    # The graph holds for any size; only the check of the shape binds it to one.
                    model.input_spec = _any_size(model, data_format)

        # === Layers ===
        pooling_class = {
            "flatten": keras.layers.Flatten,
            "avg": keras.layers.GlobalAveragePooling2D,
            "max": keras.layers.GlobalMaxPooling2D,
            "gem": GeMPooling,
        }[pooling]
        pooling_layer = pooling_class(data_format=data_format, dtype=policy, name="pooling")
        dropout_layer = keras.layers.Dropout(dropout, dtype=policy, name="dropout")
        head = keras.layers.Dense(
            len(class_names),
            activation=activation,
            kernel_regularizer=keras.regularizers.L1L2(l1, l2) if l1 or l2 else None,
            dtype="float32",
            name="head",
        )

        # === Functional model ===
        inputs = keras.Input(encoder.input_shape[1:], name="images")
        x = pooling_layer(encoder(inputs))
        if dropout:
            x = dropout_layer(x)
        super().__init__(inputs, head(x), **kwargs)
        if pooling != "flatten":
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
        if features not in ("latent", "residual", "both"):
            raise ValueError(
                f"`features` must be 'latent', 'residual' or 'both'; got features={features!r}."
            )
        if features != "latent" and not copy_encoder:
            raise ValueError(
                f"`features={features!r}` needs a copy of the autoencoder, which must not change "
                "while the classifier trains: leave out `copy_encoder=False`."
            )
        if dtype is not None and not copy_encoder:
            raise ValueError(
                "A shared encoder keeps its dtype policy: leave out `dtype`, or copy the encoder."
            )
        check_encoder(encoder, classifier_arguments.get("pooling", "flatten"))
        if copy_encoder:
            encoder = copy_model(encoder, dtype)
        if copy_encoder or not trainable_encoder:
            for layer in encoder._flatten_layers():
                layer.trainable = trainable_encoder
        if features != "latent":
            latent_encoder = encoder if features == "both" else None
            encoder = _residual_encoder(autoencoder, latent_encoder)
            encoder.trainable = trainable_encoder
        return cls(encoder, dtype=dtype, **classifier_arguments)

    def default_compile_arguments(self):
        metrics = [keras.metrics.CategoricalAccuracy(name="accuracy")]
        if len(self.class_names) == 2:
            # Over both columns precision and recall would merely repeat the accuracy.
            fake = self.class_names.index("fake") if "fake" in self.class_names else 0
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
        if isinstance(metrics, str) and metrics == "auto" and _takes_integers(loss):
            metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        super().compile(optimizer, loss, metrics=metrics, **kwargs)

    compile.__doc__ = DetectionModel.compile.__doc__

    def get_config(self):
        config = super().get_config()
        config.update(
            encoder=keras.saving.serialize_keras_object(self.encoder),
            class_names=self.class_names,
            pooling=self.pooling,
            activation=self.activation,
            l1=self.l1,
            l2=self.l2,
            dropout=self.dropout,
            dtype=keras.dtype_policies.serialize(self._dtype_argument)
            if self._dtype_argument
            else None,
        )
        return config


def _takes_integers(loss):
    names = ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy")
    return isinstance(loss, keras.losses.SparseCategoricalCrossentropy) or loss in (
        *names,
        keras.losses.sparse_categorical_crossentropy,
    )


def _check_arguments(class_names, pooling, activation, l1, l2, dropout):
    if (
        len(class_names) < 2
        or len(set(class_names)) < len(class_names)
        or not all(isinstance(name, str) for name in class_names)
    ):
        raise ValueError(f"`class_names` must be two or more different strings; got {class_names}.")
    if pooling not in ("flatten", "avg", "max", "gem"):
        raise ValueError(
            f"`pooling` must be 'flatten', 'avg', 'max' or 'gem'; got pooling={pooling!r}."
        )
    if activation not in ("softmax", "sigmoid"):
        raise ValueError(
            "`activation` must be 'softmax' or 'sigmoid', which give probabilities; "
            f"got activation={activation!r}."
        )
    if l1 < 0 or l2 < 0:
        raise ValueError(f"`l1` and `l2` must be 0 or more; got l1={l1} and l2={l2}.")
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must lie in [0, 1); got dropout={dropout}.")


def check_encoder(encoder, pooling):
    """Raise unless the model goes from images to one feature map that suits the pooling."""
    if not isinstance(encoder, keras.Model):
        raise ValueError(f"`encoder` must be a Keras model; got {encoder!r}.")
    if not encoder.built or not encoder.inputs:
        raise ValueError(
            f"`encoder` {encoder.name!r} is not built as a graph, so its input and output shapes "
            "are unknown. Give a sequential one a `keras.Input` first, and wrap a subclassed one: "
            "`keras.Model(inputs, encoder(inputs))` with `inputs = keras.Input(image_shape)`."
        )
    if len(encoder.inputs) != 1 or len(encoder.outputs) != 1:
        raise ValueError(
            "`encoder` must have one input and one output; "
            f"got {len(encoder.inputs)} and {len(encoder.outputs)}."
        )
    if len(encoder.output_shape) != 4:
        raise ValueError(
            "`encoder` must end in a feature map of 4 axes (batch, height, width, channels); got "
            f"output shape {encoder.output_shape}. Leave out its own pooling and head (in "
            "`keras.applications`: `include_top=False, pooling=None`)."
        )
    if pooling == "flatten" and None in encoder.output_shape[1:]:
        raise ValueError(
            "`pooling='flatten'` needs an encoder with a fixed image size; got output shape "
            f"{encoder.output_shape}. Use 'avg', 'max' or 'gem', or fix the image size."
        )


def _residual_encoder(autoencoder, latent_encoder):
    """From images to a feature map of the residual, beside that of the latent if there is one."""
    encoder, decoder = autoencoder.encoder, getattr(autoencoder, "decoder", None)
    if not isinstance(decoder, keras.Model):
        raise ValueError(
            "Residuals need an `autoencoder` with a `decoder` that is a Keras model; got "
            f"{autoencoder!r}. Use `features='latent'` without one."
        )
    images = keras.Input(encoder.input_shape[1:], name="images")
    reconstruction = copy_model(decoder)(copy_model(encoder)(images))
    policy = [encoder, *computing_layers(encoder)][-1].dtype_policy
    residual = ReconstructionResidual(
        keras.Model(images, reconstruction, name="reconstruction"), dtype=policy, name="residual"
    )

    fresh = keras.models.clone_model(encoder)
    for layer in fresh._flatten_layers():
        layer.trainable = True
    fresh = keras.Model(fresh.inputs[0], fresh.outputs[0], name="residual_encoder")
    features = fresh(residual(images))
    if latent_encoder is not None:
        latent_encoder = keras.Model(
            latent_encoder.inputs[0], latent_encoder.outputs[0], name="latent_encoder"
        )
        features = keras.layers.Concatenate(
            axis=1 if data_format_of(encoder) == "channels_first" else -1, dtype=policy
        )([latent_encoder(images), features])
    return keras.Model(images, features, name="encoder")


def _any_size(model, data_format):
    axis = 1 if data_format == "channels_first" else -1
    return keras.layers.InputSpec(ndim=4, axes={axis: model.input_shape[axis]})


def computing_layers(model):
    """The layers inside a model, at any depth, that are neither models nor inputs."""
    return [
        layer
        for layer in model._flatten_layers()
        if not isinstance(layer, (keras.Model, keras.layers.InputLayer))
    ]


def data_format_of(encoder):
    """The data format of the encoder's last layer that has one."""
    formats = [
        layer.data_format for layer in encoder._flatten_layers() if hasattr(layer, "data_format")
    ]
    return formats[-1] if formats else keras.config.image_data_format()
