import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

import keras_deepfake as kd

IMAGES = np.random.default_rng(0).random((12, 16, 16, 3)).astype("float32")


def space(hypermodel, **values):
    """The hyperparameters of a trial with some values set."""
    hp = keras_tuner.HyperParameters()
    hypermodel.build(hp)
    hp.values.update(values)
    hypermodel.build(hp)
    return hp


@pytest.mark.once
def test_defaults_are_the_study():
    hypermodel = kd.hypermodels.HyperConvAutoencoder((256, 256, 3))
    hp = keras_tuner.HyperParameters()
    autoencoder = hypermodel.build(hp)
    assert autoencoder.filters == (168, 64, 32)
    assert autoencoder.count_params() == 249_219
    assert autoencoder.corruption is None
    assert float(autoencoder.optimizer.learning_rate) == pytest.approx(1e-3)
    assert hp.values == {
        "depth": 3,
        "filters_0": 168,
        "filters_1": 64,
        "filters_2": 32,
        "activation": "relu",
        "normalization": "none",
        "corruption": "none",
        "learning_rate": 1e-3,
        "batch_size": 64,
    }


def test_every_hyperparameter_reaches_the_model():
    hypermodel = kd.hypermodels.HyperConvAutoencoder((16, 16, 3), filters=(4, 8, 4))
    hp = space(hypermodel, depth=2, filters_1=4, activation="elu", normalization="layer")
    hp.values.update(corruption="masking", corruption_rate=0.5, learning_rate=0.01)
    autoencoder = hypermodel.build(hp)
    assert autoencoder.filters == (8, 4)
    assert autoencoder.activation is keras.activations.elu
    assert autoencoder.normalization == "layer"
    assert isinstance(autoencoder.corruption, kd.layers.MaskingNoise)
    assert autoencoder.corruption.rate == 0.5
    assert float(autoencoder.optimizer.learning_rate) == pytest.approx(0.01)


class Sizes(keras.callbacks.Callback):
    """Notes how many batches an epoch has, which `params` knows only for arrays."""

    counts = ()

    def on_epoch_end(self, epoch, logs=None):
        self.counts.append((self.batch + 1, dict(logs)))

    def on_train_batch_end(self, batch, logs=None):
        self.batch = batch


@pytest.mark.parametrize("kind", ["arrays", "batched", "single"])
def test_batch_size_is_tuned_for_every_kind_of_data(kind):
    hypermodel = kd.hypermodels.HyperConvAutoencoder(
        (16, 16, 3), depth=1, filters=4, batch_size=(3, 4, 12)
    )
    if kind == "arrays":
        data, validation = (IMAGES, IMAGES), (IMAGES, IMAGES)
    else:
        dataset = tf.data.Dataset.from_tensor_slices((IMAGES, IMAGES))
        data, validation = (dataset.batch(5) if kind == "batched" else dataset,), dataset.batch(5)
    hp = space(hypermodel, batch_size=3)
    model = hypermodel.build(hp)
    Sizes.counts = []
    history = hypermodel.fit(
        hp, model, *data, validation_data=validation, epochs=2, callbacks=[Sizes()], verbose=0
    )
    assert [batches for batches, _ in Sizes.counts] == [4] * 2
    assert len(history.history["val_loss"]) == 2
    # Not a step more, as running into the end of a dataset would be one.
    assert int(model.optimizer.iterations) == 8


def test_a_trial_has_a_seed_of_its_own():
    hypermodel = kd.hypermodels.HyperConvAutoencoder((16, 16, 3), depth=1, filters=(4, 8, 4))

    def trained(hp, noise):
        keras.utils.set_random_seed(noise)
        model = hypermodel.build(hp)
        keras.utils.set_random_seed(noise)
        hypermodel.fit(hp, model, IMAGES, IMAGES, epochs=1, verbose=0)
        return model.get_weights()

    first, again = (
        trained(space(hypermodel, corruption="masking"), noise=noise) for noise in (1, 5)
    )
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    hp = space(hypermodel)
    assert hypermodel.trial_seed(hp) == hypermodel.trial_seed(hp.copy())
    assert hypermodel.trial_seed(hp) != hypermodel.trial_seed(space(hypermodel, batch_size=16))


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_shape": (20, 20, 3)}, "divisible by 16"),
        ({"image_shape": (None, None, 3)}, "fixed"),
        ({"depth": (3, 2)}, "`depth`.*minimum <= maximum"),
        ({"depth": ("two", "three")}, "`depth` must be an integer"),
        ({"filters": (64, 8, 8)}, "`filters`"),
        ({"filters": (8, 64)}, "step"),
        ({"learning_rate": (1e-2, 1e-4)}, "`learning_rate`"),
        ({"batch_size": (64, 32)}, "`batch_size`.*ascending"),
        ({"depth": 64}, "`depth`"),
        ({"batch_size": (1.5,)}, "`batch_size` must be an integer"),
        ({"batch_size": 10**9}, "`batch_size` must be an integer .* to 1000000"),
        ({"learning_rate": float("inf")}, "`learning_rate` must be a finite number"),
        ({"learning_rate": (float("nan"), 1e-2)}, "`learning_rate`"),
        ({"learning_rate": "fast"}, "`learning_rate`"),
        ({"image_shape": 16}, "`image_shape`"),
        ({"filters": "many"}, "`filters`"),
        ({"activation": 3}, "`activation`"),
        ({"corruption": ("fog",)}, "`corruption`"),
        ({"corruption_rate": (0.5, 1.5)}, "`corruption_rate`"),
        ({"normalization": ()}, "`normalization`"),
        ({"activation": ("relu", "nonsense")}, "nonsense"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_bad_ranges_are_refused_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        kd.hypermodels.HyperConvAutoencoder(**{"image_shape": (16, 16, 3), **arguments})


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": IMAGES, "y": IMAGES, "batch_size": 4}, "`batch_size` is a hyperparameter"),
        ({"x": (batch for batch in [])}, "`x` must be an array"),
        ({"x": IMAGES, "y": IMAGES, "epoch": 2}, "epoch"),
    ],
)
def test_arguments_that_no_trial_can_use_stop_the_search(arguments, message):
    hypermodel = kd.hypermodels.HyperConvAutoencoder((16, 16, 3), depth=1, filters=4)
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    with pytest.raises(keras_tuner.errors.FatalError, match=message):
        hypermodel.fit(hp, model, **arguments)
