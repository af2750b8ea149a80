import keras
import numpy as np
import pytest

import keras_deepfake as kd


@keras.saving.register_keras_serializable("tests")
class Counting(keras.layers.Layer):
    """Notes how many images it is called on in training."""

    counts = ()

    def call(self, inputs, training=None):
        if training:
            self.counts = {*self.counts, inputs.shape[0]}
        return inputs


def images(count=10):
    return np.random.default_rng(0).random((count, 8, 8, 3), "float32")


def autoencoder(**arguments):
    return kd.models.ConvAutoencoder((8, 8, 3), (4,), output_activation="sigmoid", **arguments)


def classifier(**arguments):
    encoder = keras.Sequential([keras.Input((8, 8, 3)), Counting(), keras.layers.Conv2D(4, 3)])
    return kd.models.EncoderClassifier(encoder, pooling="avg", **arguments)


def trained(make, micro_batch_size, x, y, compile_arguments=(), **fit_arguments):
    """A model after two epochs, and its history."""
    keras.utils.set_random_seed(0)
    model = make()
    # Without momentum the weights move by the gradients and nothing else.
    model.compile(
        keras.optimizers.SGD(0.5), micro_batch_size=micro_batch_size, **dict(compile_arguments)
    )
    history = model.fit(
        x, y, batch_size=len(x), epochs=2, shuffle=False, verbose=0, **fit_arguments
    )
    return model, history.history


def assert_same_training(make, micro_batch_size, *data, **arguments):
    keras.utils.set_random_seed(0)
    start = make()
    whole, whole_history = trained(make, None, *data, **arguments)
    parts, parts_history = trained(make, micro_batch_size, *data, **arguments)
    assert any(
        np.abs(after - before).max() > 1e-3
        for before, after in zip(start.get_weights(), whole.get_weights(), strict=True)
    )
    for expected, found in zip(whole.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert set(parts_history) == set(whole_history)
    for name, values in whole_history.items():
        np.testing.assert_allclose(parts_history[name], values, rtol=1e-5, err_msg=name)
    return parts


class TestSameTraining:
    @pytest.mark.parametrize("micro_batch_size", [pytest.param(5, marks=pytest.mark.once), 20])
    def test_of_an_autoencoder(self, micro_batch_size):
        assert_same_training(autoencoder, micro_batch_size, images(), images())

    def test_of_a_classifier_with_penalties_and_weights(self):
        labels = np.eye(2, dtype="float32")[[0, 1] * 5]
        model = assert_same_training(
            lambda: classifier(l1=0.1, l2=0.1),
            4,
            images(),
            labels,
            # Small steps, as sums in another order round large ones by more than is allowed.
            sample_weight=np.arange(10.0) / 10,
            compile_arguments={"weighted_metrics": ["accuracy"]},
        )
        (layer,) = (x for x in model._flatten_layers() if isinstance(x, Counting))
        assert layer.counts == {2, 4}

    @pytest.mark.usefixtures("in_graphs")
    def test_in_a_graph(self):
        assert_same_training(autoencoder, 3, images(), images())

    def test_with_a_corruption(self):
        """Every part draws noise of its own, and the generator goes on."""
        noise = keras.layers.GaussianNoise(0.5, seed=1)
        model, _ = trained(lambda: autoencoder(corruption=noise), 4, images(), images())
        seed, draws = keras.ops.convert_to_numpy(model.corruption.seed_generator.state.value)
        assert (seed, draws) == (1, 2 * 3)


class TestArguments:
    @pytest.mark.usefixtures("in_graphs")
    def test_of_what_is_frozen_the_loss_is_told(self):
        losses = []
        for size in (None, 4):
            model = classifier()
            model.set_weights([np.full(weight.shape, 0.1) for weight in model.get_weights()])
            model.trainable = False
            model.compile(micro_batch_size=size)
            labels = keras.utils.to_categorical([0, 1] * 5)
            losses += model.fit(images(), labels, batch_size=10, verbose=0).history["loss"]
        assert losses[0] == pytest.approx(losses[1], abs=1e-6)

    def test_is_saved(self, tmp_path):
        model, _ = trained(autoencoder, 4, images(), images())
        model.save(tmp_path / "model.keras")
        assert keras.saving.load_model(tmp_path / "model.keras").micro_batch_size == 4

    @pytest.mark.parametrize("size", [0, 1.5, True, "4"])
    def test_wrong_sizes(self, size):
        with pytest.raises(ValueError, match="`micro_batch_size`"):
            autoencoder().compile(micro_batch_size=size)

    def test_batch_normalization(self):
        model = autoencoder(normalization="batch")
        model.compile(micro_batch_size=4)
        with pytest.raises(ValueError, match=r"batch normalization .*layer"):
            model.fit(images(), images(), verbose=0)
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        model.compile(micro_batch_size=4)
        model.fit(images(), images(), verbose=0)

    @pytest.mark.parametrize("reduction", ["sum", "mean_with_sample_weight"])
    def test_losses_that_are_no_means(self, reduction):
        loss = keras.losses.MeanSquaredError(reduction=reduction)
        with pytest.raises(ValueError, match="mean over the images"):
            autoencoder().compile(loss=loss, micro_batch_size=4)
        autoencoder().compile(loss=loss)
