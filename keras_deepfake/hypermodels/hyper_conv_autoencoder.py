"""The search space of convolutional autoencoders."""

import keras

from keras_deepfake._arguments import check_integer
from keras_deepfake.hypermodels._ranges import (
    check_batch_sizes,
    check_choices,
    check_image_shape,
    check_interval,
    check_learning_rates,
    check_numbers,
    choose,
    declare_learning_rate,
    nearest,
)
from keras_deepfake.hypermodels.seeded_hyper_model import SeededHyperModel
from keras_deepfake.layers import MaskingNoise, SaltAndPepperNoise
from keras_deepfake.models import ConvAutoencoder

CORRUPTIONS = {
    "gaussian": keras.layers.GaussianNoise,
    "masking": MaskingNoise,
    "salt_and_pepper": SaltAndPepperNoise,
}
# The study's 168-64-32, halved further for deeper networks.
DEFAULT_FILTERS = (168, 64, 32)
# Sides of images are below 2 to this power, and no layer is that wide.
MOST_BLOCKS = 20
MOST_FILTERS = 65_536


class HyperConvAutoencoder(SeededHyperModel):
    """KerasTuner search space of `ConvAutoencoder`s.

    The hyperparameters are `depth`, `filters_0`, `filters_1`, … (those beyond `depth` are
    inactive), `activation`, `normalization`, `corruption`, `corruption_rate`, `learning_rate`
    and `batch_size`. Their defaults are the study's (168-64-32, ReLU, no normalization or
    corruption, 1e-3, 64), or what comes nearest within the ranges given here. A range of one
    value fixes the hyperparameter.

    Search on images or a `tf.data.Dataset`, whose batches are resized to each trial's
    `batch_size`. Every trial has its own seed, a function of `seed` and its hyperparameters.

    Args:
        image_shape: Shape of the images in the Keras data format, with fixed sides.
        depth: `(minimum, maximum)` number of blocks. The sides of the images must be divisible
            by 2 to the maximum.
        filters: `(minimum, maximum, step)` of the filters of every block.
        activation: Names of activations of the blocks.
        normalization: Among `None`, `"batch"` and `"layer"`.
        corruption: Among `None`, `"gaussian"`, `"masking"` and `"salt_and_pepper"`.
        corruption_rate: Ascending numbers in [0, 1]: the rate of masking and of salt and
            pepper, and the standard deviation of Gaussian noise.
        learning_rate: `(minimum, maximum)` of Adam's learning rate, searched by its logarithm.
        batch_size: Ascending integers.
        seed: Integer of 0 or more.
        name: Name of the hypermodel.
        tunable: Boolean; `False` leaves every hyperparameter at its default.

    Raises:
        ValueError: If a range is empty, out of bounds or not ascending, or the images cannot
            be halved as often as the maximum of `depth`.

    Example:
        ```python
        import keras_tuner

        hypermodel = kd.hypermodels.HyperConvAutoencoder(
            (16, 16, 3), depth=(1, 2), filters=(4, 8, 4), batch_size=(4, 8)
        )
        tuner = keras_tuner.RandomSearch(
            hypermodel, keras_tuner.Objective("val_loss", "min"), max_trials=2, seed=1
        )
        images = np.random.default_rng(0).random((8, 16, 16, 3), "float32")
        results = kd.hypermodels.search(
            tuner, images, images, validation_data=(images, images), epochs=1, verbose=0
        )
        results.to_csv("results.csv")
        autoencoder = tuner.get_best_models()[0]
        ```
    """

    def __init__(
        self,
        image_shape,
        depth=(2, 4),
        filters=(8, 256, 8),
        activation=("relu", "elu", "silu"),
        normalization=(None, "batch", "layer"),
        corruption=(None, "gaussian", "masking", "salt_and_pepper"),
        corruption_rate=(0.05, 0.1, 0.25, 0.5),
        learning_rate=(1e-4, 1e-2),
        batch_size=(16, 32, 64, 128),
        seed=0,
        name=None,
        tunable=True,
    ):
        super().__init__(seed=seed, name=name, tunable=tunable)
        self.image_shape = check_image_shape(image_shape)
        self.depth = check_interval("depth", depth, 1, MOST_BLOCKS, check_integer)
        self.filters = _check_filters(filters)
        _check_sides(self.image_shape, self.depth[1])
        self.activation = _check_activations(activation)
        self.normalization = check_choices("normalization", normalization, (None, "batch", "layer"))
        self.corruption = check_choices("corruption", corruption, (None, *CORRUPTIONS))
        self.corruption_rate = check_numbers("corruption_rate", corruption_rate, 0, 1)
        self.learning_rate = check_learning_rates(learning_rate)
        self.batch_size = check_batch_sizes(batch_size)

    def architecture(self, hp):
        """Declares the hyperparameters of the network and returns the active ones by name.

        Args:
            hp: `keras_tuner.HyperParameters`.

        Returns:
            Dictionary.
        """
        least, most = self.depth
        settings = {"depth": choose(hp, "depth", range(least, most + 1), len(DEFAULT_FILTERS))}
        low, high, step = self.filters
        for i in range(most):
            study = DEFAULT_FILTERS[i] if i < 3 else DEFAULT_FILTERS[-1] >> (i - 2)
            default = nearest(range(low, high + 1, step), study)
            if i < least:
                settings[f"filters_{i}"] = hp.Int(f"filters_{i}", low, high, step, default=default)
                continue
            with hp.conditional_scope("depth", list(range(i + 1, most + 1))):
                if settings["depth"] > i:
                    settings[f"filters_{i}"] = hp.Int(
                        f"filters_{i}", low, high, step, default=default
                    )
        settings["activation"] = choose(hp, "activation", self.activation, "relu")
        settings["normalization"] = choose(hp, "normalization", self.normalization, None)
        settings["corruption"] = choose(hp, "corruption", self.corruption, None)
        noises = [kind for kind in self.corruption if kind is not None]
        if noises:
            with hp.conditional_scope("corruption", noises):
                if settings["corruption"] is not None:
                    settings["corruption_rate"] = choose(
                        hp, "corruption_rate", self.corruption_rate, 0.25
                    )
        return settings

    def settings(self, hp):
        """Declares every hyperparameter and returns the active ones by name.

        Args:
            hp: `keras_tuner.HyperParameters`.

        Returns:
            Dictionary.
        """
        settings = self.architecture(hp)
        settings["learning_rate"] = declare_learning_rate(hp, self.learning_rate)
        settings["batch_size"] = choose(hp, "batch_size", self.batch_size, 64)
        return settings

    def build_autoencoder(self, settings):
        """Builds the autoencoder of an architecture.

        Args:
            settings: Dictionary as `architecture` returns it.

        Returns:
            A `ConvAutoencoder`, not compiled.
        """
        corruption = settings["corruption"]
        return ConvAutoencoder(
            self.image_shape,
            [settings[f"filters_{i}"] for i in range(settings["depth"])],
            activation=settings["activation"],
            normalization=settings["normalization"],
            corruption=corruption and CORRUPTIONS[corruption](settings["corruption_rate"]),
        )

    def build_model(self, settings):
        autoencoder = self.build_autoencoder(settings)
        autoencoder.compile(optimizer=keras.optimizers.Adam(settings["learning_rate"]))
        # Its state then goes into checkpoints and out of them, for trials that go on.
        autoencoder.optimizer.build(autoencoder.trainable_variables)
        return autoencoder


def _check_activations(activation):
    names = (activation,) if isinstance(activation, str) else activation
    try:
        if not all(isinstance(name, str) and keras.activations.get(name) for name in names):
            raise TypeError
        return check_choices("activation", tuple(names), tuple(names))
    except (TypeError, ValueError) as error:
        raise ValueError(
            "`activation` must be one or more different names of Keras activations; got "
            f"{activation!r}."
        ) from error


def _check_filters(filters):
    if not isinstance(filters, (tuple, list)):
        filters = (filters, filters, 1)
    if len(filters) != 3:
        raise ValueError(f"`filters` must be `(minimum, maximum, step)`; got {filters}.")
    low, high = check_interval("filters", filters[:2], 1, MOST_FILTERS, check_integer)
    return low, high, check_integer("filters[2]", filters[2], 1)


def _check_sides(image_shape, depth):
    channels_first = keras.config.image_data_format() == "channels_first"
    sides = image_shape[1:] if channels_first else image_shape[:2]
    if any(side % 2**depth for side in sides):
        raise ValueError(
            f"`image_shape` sides must be divisible by {2**depth}, 2 to the maximum of `depth` "
            f"({depth}); got {sides}. Choose other sides or fewer blocks."
        )
