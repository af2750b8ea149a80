import keras
import numpy as np
import pytest

import keras_deepfake as kd


def images():
    """Smooth pictures, which a few features can describe."""
    frequencies = np.random.default_rng(0).uniform(0.5, 2, (16, 1, 1, 3))
    waves = np.sin(np.linspace(0, 3, 8)[:, None] * frequencies)
    return (0.5 + 0.4 * waves * np.ones((8, 8, 3))).astype("float32")


def autoencoder(filters=(4, 3), **arguments):
    return kd.models.ConvAutoencoder((8, 8, 3), filters=filters, **arguments)


def weights(layer):
    return [np.array(w) for w in layer.get_weights()]


def pretrain(model, **arguments):
    return kd.recipes.pretrain_stacked(model, images(), **{"epochs": 1, "verbose": 0, **arguments})


def test_each_stage_trains_its_block_and_no_other():
    model = autoencoder(normalization="batch")
    blocks = model.encoder.layers[1:]
    before = [weights(block) for block in blocks]
    decoder_before = weights(model.decoder)
    at_start = []

    def callbacks(position):
        at_start.append([weights(block) for block in blocks])
        return []

    histories = pretrain(model, callbacks=callbacks)
    assert len(histories) == 2
    assert all(set(history.history) == {"loss"} for history in histories)
    after = [weights(block) for block in blocks]
    for i in range(2):
        for stage, seen in enumerate(at_start):
            # A block changes in its own stage only: final after it, untouched before it.
            expected = after[i] if stage > i else before[i]
            for value, wanted in zip(seen[i], expected, strict=True):
                np.testing.assert_array_equal(value, wanted)
        for value, old in zip(after[i], before[i], strict=True):
            assert np.any(value != old)
    for value, old in zip(weights(model.decoder), decoder_before, strict=True):
        np.testing.assert_array_equal(value, old)


def test_loss_is_that_of_the_code_below():
    model = autoencoder(activation="tanh")
    identity = keras.layers.Identity()
    histories = pretrain(model, corruption=identity, optimizer="sgd", batch_size=16)
    # Of one batch the loss is that before the step; a decoder near zero restores next to nothing.
    code = images()
    for history, block in zip(histories, model.encoder.layers[1:], strict=True):
        (loss,) = history.history["loss"]
        assert 0.2 * np.mean(code**2) < loss < 3 * np.mean(code**2)
        code = keras.ops.convert_to_numpy(block(code))


@pytest.mark.once
def test_loss_falls_in_every_stage():
    histories = pretrain(
        autoencoder(),
        epochs=6,
        batch_size=8,
        validation_data=images(),
        optimizer=keras.optimizers.Adam(0.01),
    )
    for history in histories:
        assert history.history["val_loss"][-1] < 0.85 * history.history["val_loss"][0]


@keras.saving.register_keras_serializable("tests")
class Erase(keras.layers.Layer):
    def call(self, inputs, training=False):
        return inputs * 0 if training else inputs


def test_corruption_acts_in_training_only():
    # Without anything to see, only the biases of the decoder learn.
    model = autoencoder((3,))
    kernel = model.encoder.layers[1].convolution.kernel
    before = np.array(keras.ops.convert_to_numpy(kernel))
    history = pretrain(model, corruption=Erase(), validation_data=images(), epochs=2)[0].history
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(kernel), before)
    assert history["loss"][0] == pytest.approx(np.mean(images() ** 2), rel=0.05)
    assert history["val_loss"][0] != pytest.approx(history["loss"][1], rel=0.01)

    (history,) = pretrain(autoencoder((3,), corruption=Erase()))
    assert history.history["loss"][0] == pytest.approx(np.mean(images() ** 2), rel=0.05)


def test_frozen_block_has_no_stage_and_flags_stay():
    model = autoencoder((4, 3, 2), normalization="batch")
    _, second, third = model.encoder.layers[1:]
    second.trainable = False
    third.normalization_layer.trainable = False
    flags = [layer.trainable for layer in model._flatten_layers()]
    frozen, statistics = weights(second), weights(third.normalization_layer)
    histories = pretrain(model)
    assert len(histories) == 2
    assert [layer.trainable for layer in model._flatten_layers()] == flags
    for value, old in zip(weights(second), frozen, strict=True):
        np.testing.assert_array_equal(value, old)
    for value, old in zip(weights(third.normalization_layer), statistics, strict=True):
        np.testing.assert_array_equal(value, old)
    model.encoder.trainable = False
    with pytest.raises(ValueError, match=r"`autoencoder.encoder` is frozen"):
        pretrain(model)


@pytest.mark.once
def test_stages_resume(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise InterruptedError

    def run(name, stop=None):
        keras.utils.set_random_seed(0)
        model = autoencoder()
        pretrain(
            model,
            epochs=2,
            callbacks=lambda position: [
                *([Stop()] if position == stop else []),
                kd.callbacks.ResumeTraining(tmp_path / f"{name}_{position}"),
            ],
        )
        return model

    expected = run("uninterrupted")
    with pytest.raises(InterruptedError):
        run("interrupted", stop=1)
    resumed = run("interrupted")
    for value, wanted in zip(weights(resumed), weights(expected), strict=True):
        np.testing.assert_array_equal(value, wanted)


def test_data_format_and_precision(tmp_path):
    shape, x, data_format = (8, 8, 3), images(), "channels_last"
    if keras.backend.backend() != "tensorflow":  # whose convolutions on a CPU have one format
        shape, x, data_format = (3, 8, 8), np.moveaxis(x, 3, 1), "channels_first"
    arguments = {"data_format": data_format, "dtype": "mixed_float16"}
    model = kd.models.ConvAutoencoder(shape, filters=(4, 3), **arguments)
    histories = kd.recipes.pretrain_stacked(model, x, epochs=1, verbose=0)
    assert all(np.isfinite(history.history["loss"][0]) for history in histories)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.encode(x), model.encode(x))


@pytest.mark.once
def test_other_model_is_refused():
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 1)])
    with pytest.raises(ValueError, match="must be a `ConvAutoencoder`"):
        pretrain(model)


@pytest.mark.once
def test_diverging_stage_and_wrong_data_stop():
    with pytest.raises(FloatingPointError, match="block_0_stage' diverged in epoch 1"):
        pretrain(autoencoder(), epochs=3, optimizer=keras.optimizers.SGD(1e38))
    x = images()
    x[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="`x` must hold finite pixel values"):
        kd.recipes.pretrain_stacked(autoencoder(), x, epochs=1, verbose=0)
    with pytest.warns(UserWarning, match="`x` should hold pixel values in"):
        kd.recipes.pretrain_stacked(autoencoder(), images() * 255, epochs=1, verbose=0)


@pytest.mark.once
@pytest.mark.parametrize(
    ("argument", "value"), [("epochs", 1.5), ("corruption", "noise"), ("callbacks", [])]
)
def test_wrong_arguments(argument, value):
    with pytest.raises(ValueError, match=f"`{argument}` must be"):
        pretrain(autoencoder(), **{argument: value})
