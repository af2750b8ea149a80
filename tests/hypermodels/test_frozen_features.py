import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

import keras_deepfake as kd
from keras_deepfake.hypermodels import _frozen_features as frozen_features
from tests.hypermodels.small_searches import (
    IMAGES,
    LABELS,
    VALIDATION,
    count_encodings,
    hyper,
)


def faces(folder, shuffle_buffer):
    for i, image in enumerate(IMAGES):
        path = folder / ("fake" if LABELS[i, 0] else "real")
        path.mkdir(exist_ok=True)
        keras.utils.save_img(path / f"{i}.png", image)
    index = kd.datasets.ImageIndex.from_directory(folder)
    return kd.datasets.classification_dataset(index, (16, 16), 6, shuffle_buffer, seed=3)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("arrays", marks=pytest.mark.once),
        pytest.param("dataset", marks=pytest.mark.once),
        "library",
    ],
)
def test_kept_features_give_the_metrics_of_training_on_images(
    autoencoder, kind, tmp_path, monkeypatch
):
    arguments = {"x": IMAGES, "y": LABELS, "validation_data": VALIDATION}
    if kind == "dataset":
        arguments["validation_data"] = tf.data.Dataset.from_tensor_slices(VALIDATION)
    elif kind == "library":
        (tmp_path / "faces").mkdir()
        dataset = faces(tmp_path / "faces", shuffle_buffer=7)
        # As a trial of Hyperband that goes on.
        arguments = {"x": dataset, "validation_data": VALIDATION, "initial_epoch": 1}
    encoded = count_encodings(monkeypatch)
    cache = True if kind == "dataset" else None
    keep, train = (
        hyper(autoencoder, trainable_encoder=False, dropout=0.25, cache_features=choice)
        for choice in (cache, False)
    )
    kept, naive = history(keep, **arguments), history(train, **arguments)
    if kind == "arrays":
        assert history(keep, **arguments) == kept
    assert len(encoded) == 2  # training and validation images, once for all trials
    assert kept.keys() == naive.keys()
    for name in kept:
        np.testing.assert_allclose(kept[name], naive[name], rtol=1e-5, atol=1e-6, err_msg=name)


def history(hypermodel, **arguments):
    hp = keras_tuner.HyperParameters()
    hypermodel.build(hp)
    hp.values.update(pooling="gem", batch_size=8)
    return hypermodel.fit(hp, hypermodel.build(hp), **arguments, epochs=2, verbose=0).history


@pytest.mark.once
def test_a_foreign_dataset_is_shuffled_anew_in_every_epoch_if_its_features_are_kept(
    autoencoder, monkeypatch
):
    pairs = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(6)
    encoded = count_encodings(monkeypatch)
    hypermodel = hyper(autoencoder, trainable_encoder=False, cache_features=True)
    losses = history(hypermodel, x=pairs, validation_data=pairs)
    assert len(losses["val_loss"]) == 2
    assert len(encoded) == 1
    _, features = next(iter(next(iter(hypermodel._frozen_features._encoders.values())).values()))
    first, second = (features.batches(16, 0, epoch)[0] for epoch in (0, 1))
    assert np.abs(first[0] - second[0]).max() > 0
    np.testing.assert_array_equal(
        np.sort(first[0].sum((1, 2, 3))), np.sort(second[0].sum((1, 2, 3)))
    )


@pytest.mark.once
@pytest.mark.parametrize("kind", ["arrays", "dataset"])
def test_features_have_a_row_an_image_under_mirrored_strategy(autoencoder, kind, monkeypatch):
    predict = keras.Model.predict_on_batch
    # As with two replicas, each of which returns all rows.
    monkeypatch.setattr(
        keras.Model, "predict_on_batch", lambda model, x: np.concatenate([predict(model, x)] * 2)
    )
    hypermodel = hyper(autoencoder, trainable_encoder=False, cache_features=True)
    arguments = {"x": IMAGES, "y": LABELS}
    if kind == "dataset":
        arguments = {"x": tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(8)}
    assert len(history(hypermodel, **arguments)["loss"]) == 2


@pytest.mark.once
def test_features_are_kept_where_the_images_are_known_to_be_the_same(tmp_path):
    pairs = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(4)
    dataset = faces(tmp_path, shuffle_buffer=7)
    can_be_kept = frozen_features.can_be_kept
    arrays = {"x": IMAGES, "validation_data": VALIDATION}
    assert can_be_kept(arrays, None)
    assert not can_be_kept(arrays, False)
    assert not can_be_kept({**arrays, "steps_per_epoch": 2}, True)
    assert can_be_kept({"x": dataset, "validation_data": VALIDATION}, None)
    # A stage may augment them, and those that it leaves out may be others in every epoch.
    for other in (dataset.take(2), dataset.map(lambda x, y: (x, y)), pairs):
        assert not can_be_kept({"x": other}, None)
        assert not can_be_kept({"x": IMAGES, "validation_data": other}, None)
        assert can_be_kept({"x": other}, True)
    assert not can_be_kept({"x": pairs.repeat()}, True)


def test_callbacks_of_a_frozen_trial_act_on_the_training(autoencoder):
    hypermodel = hyper(autoencoder, trainable_encoder=False, l1=0)
    hp = keras_tuner.HyperParameters()
    classifier = hypermodel.build(hp)
    rates = []

    class Halve(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))
            self.model.optimizer.learning_rate = rates[-1] / 2
            self.model.stop_training = epoch == 1

    history = hypermodel.fit(
        hp, classifier, IMAGES, LABELS, epochs=4, callbacks=[Halve()], verbose=0
    )
    assert rates == pytest.approx([1e-3, 5e-4])
    assert history is classifier.history
    assert len(history.history["auc"]) == 2
    assert int(classifier.optimizer.iterations) == 2 * 16 // hp.get("batch_size")


def test_an_encoder_with_noise_is_not_kept():
    noisy = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.GaussianNoise(0.5), keras.layers.Conv2D(2, 3)]
    )

    class WithEncoder(keras.Model):
        encoder = noisy

    hypermodel = hyper(WithEncoder(), trainable_encoder=False)
    hp = keras_tuner.HyperParameters()
    hypermodel.fit(hp, hypermodel.build(hp), IMAGES, LABELS, verbose=0)
    assert not hypermodel._frozen_features._encoders
