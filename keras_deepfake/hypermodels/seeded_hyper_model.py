"""What the search spaces of the library have in common."""

import hashlib
import json
import weakref

import keras
import keras_tuner

from keras_deepfake._arguments import check_flag, check_seed, check_text
from keras_deepfake.hypermodels._fit_arguments import data_order, fit_arguments, with_batch_size
from keras_deepfake.models.divergence_check import DivergenceCheck


class SeededHyperModel(keras_tuner.HyperModel):
    """KerasTuner search space whose trials are reproducible and have a batch size of their own.

    Subclasses implement `settings(hp)` and `build_model(settings)`, and perhaps
    `fit_model(settings, model, arguments)`. A training's seed is a function of `seed`, the
    settings, and which execution of its trial it is: the order of trials, the process, and what
    ran before do not matter. So a configuration that is trained once more, by `build` and `fit`
    with the hyperparameters of a trial, has the weights of its first execution.

    Search on arrays or a `tf.data.Dataset`, whose batches are resized to each trial's
    `batch_size`. A trial fails at the first loss or weight that is not finite.

    Args:
        seed: Integer of 0 or more.
        name: Name of the hypermodel.
        tunable: Boolean; `False` leaves every hyperparameter at its default.

    Raises:
        ValueError: If `seed` is no integer of 0 or more.

    Example:
        ```python
        import keras_tuner

        class HyperResidualNetwork(kd.hypermodels.SeededHyperModel):
            def settings(self, hp):
                return {
                    "filters": hp.Int("filters", 4, 8, step=4),
                    "batch_size": hp.Choice("batch_size", [4, 8]),
                }

            def build_model(self, settings):
                layers = [
                    keras.Input((16, 16, 3)),
                    kd.layers.SRMResidual(),
                    keras.layers.Conv2D(settings["filters"], 3, activation="relu"),
                    keras.layers.GlobalAveragePooling2D(),
                    keras.layers.Dense(2, activation="softmax"),
                ]
                model = keras.Sequential(layers)
                model.compile("adam", "categorical_crossentropy")
                return model

        tuner = keras_tuner.RandomSearch(
            HyperResidualNetwork(seed=1),
            keras_tuner.Objective("val_loss", "min"),
            max_trials=2,
            seed=1,
        )
        images = np.random.default_rng(0).random((8, 16, 16, 3), "float32")
        labels = keras.utils.to_categorical([0, 1] * 4)
        results = kd.hypermodels.search(
            tuner, images, labels, validation_data=(images, labels), epochs=1, verbose=0
        )
        ```
    """

    def __init__(self, seed=0, name=None, tunable=True):
        if name is not None:
            check_text("name", name)
        super().__init__(name=name, tunable=check_flag("tunable", tunable))
        self.seed = check_seed(seed)
        # Weakly, as identities of hyperparameters that are gone come back.
        self._executions = weakref.WeakKeyDictionary()

    def settings(self, hp):
        """Declares every hyperparameter and returns the active ones by name.

        Args:
            hp: `keras_tuner.HyperParameters`.

        Returns:
            Dictionary of numbers, strings and booleans, `"batch_size"` among them.
        """
        raise NotImplementedError

    def build_model(self, settings):
        """Builds and compiles the model of some settings.

        Args:
            settings: Dictionary as `settings` returns it.

        Returns:
            A compiled Keras model from images to one output.
        """
        raise NotImplementedError

    def fit_model(self, settings, model, arguments):
        """Trains the model of a trial.

        Args:
            settings: Dictionary as `settings` returns it.
            model: What `build_model` returned.
            arguments: Dictionary, the arguments of `keras.Model.fit` by name.

        Returns:
            The `History`, or whatever else KerasTuner takes for the result of a trial.
        """
        arguments = with_batch_size(arguments, settings["batch_size"])
        arguments["callbacks"] = [*(arguments.get("callbacks") or []), data_order()]
        return model.fit(**arguments)

    def trial_seed(self, hp):
        """Computes the seed of a trial from `seed` and the values of its hyperparameters.

        Args:
            hp: `keras_tuner.HyperParameters`.

        Returns:
            Integer of 32 bits.
        """
        text = json.dumps([self.seed, self.settings(hp.copy())], sort_keys=True)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    def build(self, hp):
        settings = self.settings(hp)
        if "batch_size" not in settings:
            raise keras_tuner.errors.FatalValueError(
                "`settings` must return the 'batch_size' of a trial among its hyperparameters; got "
                f"{sorted(settings)}. `hp.Fixed('batch_size', 32)` keeps it at one value."
            )
        self._set_seed(hp)
        return self.build_model(settings)

    def fit(self, hp, model, *args, **kwargs):
        arguments = fit_arguments(args, kwargs)
        # Metrics of a model that diverged are numbers, and not always the lowest ones.
        arguments["callbacks"] = [DivergenceCheck(), *(arguments.get("callbacks") or [])]
        # A trial that goes on, as Hyperband's do, must not see its first epochs again.
        self._set_seed(hp, arguments.get("initial_epoch", 0))
        execution = self._executions.pop(hp, 0) + 1
        try:
            result = self.fit_model(self.settings(hp), model, arguments)
        except FloatingPointError as error:
            # With the same seed it would do so again.
            raise keras_tuner.errors.FailedTrialError(str(error)) from error
        # Not for the next training with these hyperparameters, that of another trial or of none.
        if execution < _executions_per_trial(arguments):
            self._executions[hp] = execution
        return result

    def _set_seed(self, hp, initial_epoch=0):
        execution = self._executions.get(hp, 0)
        keras.utils.set_random_seed(
            (self.trial_seed(hp) + 1000 * execution + initial_epoch) % 2**32
        )


def _executions_per_trial(arguments):
    """How often the tuner trains the model of this trial; once outside of a search."""
    # KerasTuner tells a hypermodel nothing of its tuner, but gives it a callback that knows it.
    tuners = [getattr(callback, "tuner", None) for callback in arguments.get("callbacks") or ()]
    return next((t.executions_per_trial for t in tuners if isinstance(t, keras_tuner.Tuner)), 1)
