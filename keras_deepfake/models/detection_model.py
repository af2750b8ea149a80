"""What the models of the library have in common."""

import functools
import inspect

import keras
from keras.src.backend.common.global_state import get_global_attribute

from keras_deepfake._arguments import MOST_PLACES, check_integer
from keras_deepfake.models._layer_states import (
    layer_states,
    pop_layer_states,
    restart_lora,
    restore_layer_states,
)
from keras_deepfake.models._micro_batches import check_layers, check_loss, micro_batched_step
from keras_deepfake.models.prediction import refresh_functions
from keras_deepfake.models.training_data import check_classes, checked_fit_arguments

_OLDER_FORMAT = (
    "The older format, HDF5, cannot hold this model; weights alone can be kept by "
    "`save_weights('x.weights.h5')`, and all of it by `save('x.keras')`."
)


class DetectionModel(keras.Model):
    """Base class of functional models of images with default compile settings.

    A subclass builds its graph in `__init__` and passes inputs and outputs on, sets its
    attributes afterwards, implements `default_compile_arguments`, and adds the arguments of its
    constructor to `get_config`. It gets in return:

    - `compile()` without arguments;
    - a configuration that records which inner layers are frozen, quantized or under LoRA, at any
      depth: a constructor call alone would bring them back trainable and in floating point;
    - random layers, such as Keras's augmentations, that do nothing unless `training=True`;
    - a `fit` that looks at the data before it starts (pixel values, order of the classes, kind
      of labels), and stops at the first loss or weight that is not finite.

    Args:
        inputs: Input of the graph, a `keras.Input`.
        outputs: Output of the graph.
        name: Name of the model, or `None`.
        **kwargs: Other arguments of `keras.Model`.

    Raises:
        ValueError: From `fit`, if the first batch has pixels that are not finite, a dataset has
            `class_names` in another order than the model's, or labels are class numbers where
            the loss expects one-hot columns. Pixels outside [0, 1] only warn. From `save`, for
            a path that ends in `.h5`.
        FloatingPointError: From `fit`, if the training diverges.

    Example:
        ```python
        @keras.saving.register_keras_serializable("my_package")
        class MeanColor(kd.models.DetectionModel):
            def __init__(self, image_shape, **kwargs):
                inputs = keras.Input(image_shape, name="images")
                x = keras.layers.GlobalAveragePooling2D()(inputs)
                super().__init__(inputs, keras.layers.Dense(2, "softmax")(x), **kwargs)
                self.image_shape = image_shape

            def default_compile_arguments(self):
                return {"optimizer": "adam", "loss": "categorical_crossentropy", "metrics": []}

            def get_config(self):
                return {**super().get_config(), "image_shape": self.image_shape}

        model = MeanColor((8, 8, 3))
        model.compile()
        images = np.random.default_rng(0).random((4, 8, 8, 3))
        model.fit(images, keras.utils.to_categorical([0, 1, 0, 1]), verbose=0)
        ```
    """

    def call(self, inputs, training=None, mask=None):
        # Augmentation layers of Keras are active unless told otherwise.
        return super().call(inputs, training=bool(training), mask=mask)

    def default_compile_arguments(self):
        """The `optimizer`, `loss` and `metrics` that `compile()` falls back on."""
        raise NotImplementedError

    def compile(
        self, optimizer="auto", loss="auto", *, metrics="auto", micro_batch_size=None, **kwargs
    ):
        """Configures the model for training, as `keras.Model.compile` does.

        Args:
            optimizer: As in Keras; `"auto"` for the default of the model.
            loss: As in Keras; `"auto"` for the default of the model.
            metrics: As in Keras; `"auto"` for the default of the model.
            micro_batch_size: Integer, how many images of a batch a training step computes at a
                time, or `None` for all. The memory is then that of so few images. The weights
                are updated once a batch, by the same gradients, and losses and metrics are the
                same; only random layers draw other numbers.
            **kwargs: Everything else that `keras.Model.compile` accepts.

        Raises:
            ValueError: With `micro_batch_size`, for a loss that is not the mean over the images,
                and, when the training starts, for batch normalization that is trained, as it
                computes with the images that it sees at a time.
        """
        if micro_batch_size is not None:
            micro_batch_size = check_integer("micro_batch_size", micro_batch_size, 1, MOST_PLACES)
        given = {"optimizer": optimizer, "loss": loss, "metrics": metrics}
        defaults = self.default_compile_arguments()
        arguments = {
            name: defaults[name] if isinstance(value, str) and value == "auto" else value
            for name, value in given.items()
        }
        if micro_batch_size is not None:
            check_loss(arguments["loss"])
        super().compile(**arguments, **kwargs)
        self.micro_batch_size = micro_batch_size

    def make_train_function(self, force=False):
        # Here, as no training has begun yet: on JAX one that fails takes the weights along.
        if self.micro_batch_size is not None:
            check_layers(self)
        if self.train_function is None:
            restart_lora(self)
        super().make_train_function(force)

    def make_test_function(self, force=False):
        refresh_functions(self)
        super().make_test_function(force)

    def make_predict_function(self, force=False):
        refresh_functions(self)
        super().make_predict_function(force)

    def train_step(self, *arguments):
        if self.micro_batch_size is None or not self.trainable_weights:
            return super().train_step(*arguments)
        return micro_batched_step(self, self.micro_batch_size, *arguments)

    @functools.wraps(keras.Model.fit)
    def fit(self, *args, **kwargs):
        arguments = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs).arguments
        del arguments["self"]
        return super().fit(**checked_fit_arguments(self, arguments))

    @functools.wraps(keras.Model.evaluate)
    def evaluate(self, x=None, *args, **kwargs):
        check_classes(self, x, "x")
        return super().evaluate(x, *args, **kwargs)

    @functools.wraps(keras.Model.save)
    def save(self, filepath, *args, **kwargs):
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                f"`filepath` must end in `.keras`; got {str(filepath)!r}. {_OLDER_FORMAT}"
            )
        super().save(filepath, *args, **kwargs)

    def get_compile_config(self):
        config = super().get_compile_config()
        # `keras.models.clone_model` compiles a model with it that knows only Keras's own arguments.
        if config and self.micro_batch_size is not None:
            config["micro_batch_size"] = self.micro_batch_size
        return config

    def load_weights(self, filepath, skip_mismatch=False, **kwargs):
        """Loads weights as `keras.Model.load_weights` does; a refused file changes nothing.

        Args:
            filepath: Path of the file.
            skip_mismatch: Boolean, as in Keras.
            **kwargs: Everything else that `keras.Model.load_weights` accepts.
        """
        optimizer = getattr(self, "optimizer", None)  # before `compile` there is none
        variables = [*self.variables, *(optimizer.variables if optimizer else [])]
        before = [keras.ops.convert_to_numpy(variable) for variable in variables]
        try:
            super().load_weights(filepath, skip_mismatch=skip_mismatch, **kwargs)
        except BaseException:
            # Keras assigns layer by layer: a damaged file would leave a model half of each.
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)
            raise
        restart_lora(self)

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def get_config(self):
        # Whether `keras.saving.save_model`, which does not ask `save`, writes the older format.
        if get_global_attribute("use_legacy_config"):
            raise ValueError(_OLDER_FORMAT)
        return {"name": self.name, "trainable": self.trainable, **layer_states(self)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        states = pop_layer_states(config)
        trainable = config.pop("trainable", True)
        model = cls(**config)
        model.trainable = trainable
        restore_layer_states(model, states)
        return model
