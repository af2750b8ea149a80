import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

import keras_deepfake as kd
from tests.hypermodels.small_searches import (
    AUC,
    IMAGES,
    LABELS,
    VALIDATION,
    count_encodings,
    hyper,
)

DIVERGED = "The training of .* diverged"


def small_architecture():
    return kd.hypermodels.HyperConvAutoencoder((16, 16, 3), depth=(1, 2), filters=(2, 4, 2))


def encoder_of(side, axes):
    """A small encoder whose output has so many axes, with weights of its own."""
    shapes = {2: (-1,), 3: (-1, 4), 4: (side // 4, side // 4, 4)}
    layers = [keras.Input((side, side, 3)), keras.layers.Conv2D(4, 4, strides=4, name="conv")]
    if axes != 4:
        layers.append(keras.layers.Reshape(shapes[axes]))
    return keras.Sequential(layers)


TUNERS = {
    "random": lambda *args, **kw: keras_tuner.RandomSearch(*args, max_trials=2, **kw),
    "grid": lambda *args, **kw: keras_tuner.GridSearch(*args, max_trials=2, **kw),
    "bayesian": lambda *args, **kw: keras_tuner.BayesianOptimization(
        *args, max_trials=2, num_initial_points=1, **kw
    ),
    "hyperband": lambda *args, **kw: keras_tuner.Hyperband(*args, max_epochs=2, factor=2, **kw),
}
# KerasTuner does the same on every backend; hyperband goes on with trials.
if keras.backend.backend() != "tensorflow":
    TUNERS = {"hyperband": TUNERS["hyperband"]}


@pytest.mark.once
def test_defaults_are_the_study(autoencoder):
    hypermodel = kd.hypermodels.HyperEncoderClassifier((16, 16, 3), autoencoder=autoencoder)
    hp = keras_tuner.HyperParameters()
    classifier = hypermodel.build(hp)
    assert hp.values == {
        "l1": 0.01,
        "l2": 0.1,
        "pooling": "flatten",
        "head_activation": "softmax",
        "dropout": 0.0,
        "trainable_encoder": True,
        "learning_rate": 1e-3,
        "batch_size": 128,
        "features": "latent",
    }
    assert (classifier.l1, classifier.l2) == (0.01, 0.1)
    assert 0.0 in hypermodel.l1
    assert 0.0 in hypermodel.l2


@pytest.mark.parametrize("tuner", TUNERS)
def test_every_tuner_gives_the_model_it_scored(autoencoder, tuner, tmp_path, recwarn):
    tuner = TUNERS[tuner](
        hyper(autoencoder), AUC, seed=1, directory=tmp_path, project_name="search"
    )
    before = autoencoder.get_weights()
    results = kd.hypermodels.search(
        tuner, IMAGES, LABELS, validation_data=VALIDATION, epochs=2, verbose=0
    )
    assert {row["state"] for row in results.rows} == {"COMPLETED"}
    best = tuner.get_best_models()[0]
    assert isinstance(best, kd.EncoderClassifier)
    reached = best.evaluate(*VALIDATION, verbose=0, return_dict=True)["auc"]
    assert reached == pytest.approx(results.rows[0]["score"], abs=1e-6)
    # The optimizer too is that of the best epoch, and of the trials that go on.
    assert not [warning for warning in recwarn if "Skipping variable" in str(warning.message)]
    batch_size = results.rows[0]["hyperparameters"]["batch_size"]
    steps = results.rows[0]["epochs"] * 16 // batch_size
    assert int(best.optimizer.iterations) == steps
    # No trial reaches back into the autoencoder, or from one into the next.
    for one, two in zip(before, autoencoder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_every_trial_pretrains_an_autoencoder_without_the_callbacks_of_the_search(tmp_path):
    hypermodel = hyper(
        small_architecture(), pretraining_epochs=1, trainable_encoder=False, l1=0, pooling="avg"
    )
    seen = []

    class Notes(keras.callbacks.Callback):
        def __deepcopy__(self, memo):
            return self

        def set_model(self, model):
            seen.append(model)
            super().set_model(model)

    tuner = keras_tuner.RandomSearch(hypermodel, AUC, max_trials=2, seed=2, directory=tmp_path)
    results = kd.hypermodels.search(
        tuner, IMAGES, LABELS, validation_data=VALIDATION, callbacks=[Notes()], verbose=0
    )
    assert {row["state"] for row in results.rows} == {"COMPLETED"}
    assert seen
    assert all(isinstance(model, kd.EncoderClassifier) for model in seen)
    assert {"depth", "filters_0"} <= set(results.rows[0]["hyperparameters"])
    best = tuner.get_best_models()[0]
    reached = best.evaluate(*VALIDATION, verbose=0, return_dict=True)["auc"]
    assert reached == pytest.approx(results.rows[0]["score"], abs=1e-6)


@pytest.mark.once
def test_pretraining_data_of_every_kind_changes_the_encoder_and_a_continued_trial_has_none():
    pairs = tf.data.Dataset.from_tensor_slices((IMAGES, IMAGES))
    for data in (None, pairs.map(lambda x, _: x).batch(8)):
        hypermodel = hyper(
            small_architecture(),
            pretraining_dataset=data,
            pretraining_epochs=1,
            trainable_encoder=False,
        )
        hp = keras_tuner.HyperParameters()
        classifier = hypermodel.build(hp)
        start = classifier.encoder.get_weights()
        hypermodel.fit(hp, classifier, IMAGES, LABELS, epochs=1, initial_epoch=1, verbose=0)
        np.testing.assert_array_equal(classifier.encoder.get_weights()[0], start[0])
        hypermodel.fit(hp, classifier, IMAGES, LABELS, epochs=0, verbose=0)
        assert np.abs(classifier.encoder.get_weights()[0] - start[0]).max() > 1e-5


@pytest.mark.once
def test_a_trial_that_diverges_has_failed(autoencoder, tmp_path):
    tuner = keras_tuner.RandomSearch(hyper(autoencoder), AUC, max_trials=1, directory=tmp_path)
    weights = np.where(np.arange(16) == 3, np.inf, 1)
    with pytest.raises(RuntimeError, match=DIVERGED):
        kd.hypermodels.search(
            tuner, IMAGES, LABELS, sample_weight=weights, validation_data=VALIDATION, verbose=0
        )


@pytest.mark.once
def test_auc_is_that_of_the_fake_column(autoencoder):
    hypermodel = hyper(autoencoder, head_activation="softmax")
    classifier = hypermodel.build(keras_tuner.HyperParameters())
    # Leaning to one class, which changes no order within a column, but that of both together.
    classifier.get_layer("head").bias.assign([0.5, -0.5])
    auc = classifier.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)["auc"]
    scores = classifier.predict(IMAGES, verbose=0)[:, 0]
    fakes, reals = scores[LABELS[:, 0] == 1], scores[LABELS[:, 0] == 0]
    # Mann and Whitney: the share of pairs in the right order.
    assert auc == pytest.approx((fakes[:, None] > reals).mean(), abs=0.03)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"autoencoder": keras.Sequential()}, "`autoencoder`"),
        ({"image_shape": (32, 32, 3)}, "`image_shape`"),
        ({"l1": (1e-2, 1e-4)}, "`l1`.*ascending"),
        ({"l1": float("inf")}, "`l1` must be a finite number"),
        ({"l1": float("nan")}, "`l1`"),
        ({"learning_rate": float("inf")}, "`learning_rate`"),
        ({"batch_size": 10**9}, "`batch_size`"),
        ({"class_names": ("a", "a")}, "`class_names`"),
        ({"features": "pixels"}, "`features`"),
        ({"encoder": keras.Sequential()}, "not both"),
        ({"autoencoder": None, "encoder": keras.Sequential()}, "`encoder` must be a Keras model"),
        ({"autoencoder": None, "encoder": lambda hp: 3}, "`encoder` must be a Keras model"),
        ({"autoencoder": None, "encoder": "resnet"}, "`encoder` must be a Keras model"),
        ({"autoencoder": None, "encoder": encoder_of(8, 2)}, "`image_shape`"),
        ({"autoencoder": None, "encoder": encoder_of(16, 2), "pooling": "avg"}, "`pooling`"),
        ({"autoencoder": None, "encoder": encoder_of(16, 3), "pooling": "gem"}, "`pooling`"),
        ({"autoencoder": None, "encoder": encoder_of(16, 2), "features": "both"}, "`features`"),
        (
            {"autoencoder": None, "encoder": lambda hp: hp.Int("l1", 1, 2) and encoder_of(16, 2)},
            r"declares \['l1'\]",
        ),
        ({"cache_features": "yes"}, "`cache_features`"),
        ({"pretraining_dataset": 255 * IMAGES}, r"`pretraining_dataset` .*\[0, 1\]"),
        ({"l2": (-1, 0)}, "`l2`"),
        ({"dropout": (0, 1)}, "`dropout`"),
        ({"pooling": "mean"}, "`pooling`"),
        ({"head_activation": "relu"}, "`head_activation`"),
        ({"trainable_encoder": "no"}, "`trainable_encoder`"),
        ({"pretraining_epochs": -1}, "`pretraining_epochs`"),
    ],
)
def test_bad_arguments_are_refused_at_once(autoencoder, arguments, message):
    with pytest.raises(ValueError, match=message):
        kd.hypermodels.HyperEncoderClassifier(
            **{"image_shape": (16, 16, 3), "autoencoder": autoencoder, **arguments}
        )


@pytest.mark.once
@pytest.mark.parametrize("kind", ["arrays", "batched", "single"])
def test_a_search_needs_labels_of_two_classes(autoencoder, kind, tmp_path):
    fakes = (IMAGES, keras.utils.to_categorical([0] * 16, 2))
    both = (IMAGES, LABELS)
    if kind != "arrays":
        fakes, both = (tf.data.Dataset.from_tensor_slices(pair) for pair in (fakes, both))
    if kind == "batched":
        fakes, both = fakes.batch(8), both.batch(8)
    tuner = keras_tuner.RandomSearch(hyper(autoencoder), AUC, max_trials=1, directory=tmp_path)
    data = both if kind == "arrays" else (both,)
    with pytest.raises(ValueError, match="`validation_data` must hold at least two classes"):
        kd.hypermodels.search(tuner, *data, validation_data=fakes, verbose=0)
    assert not tuner.oracle.trials


@pytest.mark.once
def test_a_search_needs_one_hot_labels(autoencoder, tmp_path):
    tuner = keras_tuner.RandomSearch(hyper(autoencoder), AUC, max_trials=1, directory=tmp_path)
    with pytest.raises(ValueError, match=r"`x` must hold images and targets .* \(2,\)"):
        kd.hypermodels.search(
            tuner, IMAGES, LABELS.argmax(1), validation_data=VALIDATION, verbose=0
        )


@pytest.mark.parametrize(
    ("axes", "poolings"),
    [
        (4, ("flatten", "avg", "max", "gem")),
        pytest.param(3, ("flatten", "avg", "max", "cls"), marks=pytest.mark.once),
        pytest.param(2, None, marks=pytest.mark.once),
    ],
)
def test_any_encoder_is_searched_and_none_is_changed(axes, poolings):
    encoder = encoder_of(16, axes)
    before = encoder.get_weights()
    hypermodel = hyper(None, encoder=encoder, trainable_encoder=(True, False))
    hp = keras_tuner.HyperParameters()
    classifier = hypermodel.build(hp)
    assert "features" not in hp.values
    assert ("pooling" in hp.values) == (axes > 2)
    for pooling in poolings or (None,):
        hp.values.update(pooling=pooling, trainable_encoder=pooling == "flatten" or axes == 2)
        classifier = hypermodel.build(hp)
        assert classifier.pooling == pooling
        assert bool(classifier.encoder.trainable_variables) == hp.values["trainable_encoder"]
        hypermodel.fit(hp, classifier, IMAGES, LABELS, epochs=1, verbose=0)
        trained = classifier.encoder.get_weights()[0]
        assert (np.abs(trained - before[0]).max() > 0) == hp.values["trainable_encoder"]
    assert encoder.trainable
    for one, two in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.once
def test_an_encoder_that_accepts_any_size_is_not_flattened():
    encoder = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 3)])
    assert hyper(None, encoder=encoder).pooling == ("avg", "max", "gem")


@pytest.mark.once
def test_a_function_makes_encoders_with_hyperparameters_of_their_own(tmp_path, monkeypatch):
    made = encoder_of(16, 4)

    def encoder(hp):
        if hp.Choice("network", ["own", "shared"]) == "shared":
            return made
        with hp.conditional_scope("network", ["own"]):
            units = hp.Int("units", 2, 4)
        layers = [keras.Input((16, 16, 3)), keras.layers.Conv2D(units, 4, strides=4)]
        return keras.Sequential(layers)

    hypermodel = hyper(None, encoder=encoder, trainable_encoder=False, l1=0, pooling="avg")
    tuner = keras_tuner.RandomSearch(hypermodel, AUC, max_trials=4, seed=3, directory=tmp_path)
    results = kd.hypermodels.search(
        tuner, IMAGES, LABELS, validation_data=VALIDATION, epochs=1, verbose=0
    )
    assert [row["state"] for row in results.rows] == ["COMPLETED"] * 4
    networks = [row["hyperparameters"]["network"] for row in results.rows]
    assert set(networks) == {"own", "shared"}
    for row in results.rows:
        assert ("units" in row["hyperparameters"]) == (row["hyperparameters"]["network"] == "own")
    # What one encoder gives is computed once, and never taken for that of another.
    encoded = count_encodings(monkeypatch)
    hp = keras_tuner.HyperParameters()
    for values in ({"network": "own", "units": 3}, {"network": "shared"}, {"network": "own"}):
        hp.values.update(values)
        hypermodel.fit(hp, hypermodel.build(hp), IMAGES, LABELS, epochs=1, verbose=0)
    assert len(encoded) <= 2
    best = tuner.get_best_models()[0]
    reached = best.evaluate(*VALIDATION, verbose=0, return_dict=True)["auc"]
    assert reached == pytest.approx(results.rows[0]["score"], abs=1e-6)


@pytest.mark.once
@pytest.mark.parametrize("is_trained", [True, False])
def test_features_of_an_autoencoder_are_tuned(autoencoder, is_trained):
    source = autoencoder if is_trained else small_architecture()
    hypermodel = hyper(
        source, features=("latent", "residual", "both"), pooling="avg", pretraining_epochs=1
    )
    hp = keras_tuner.HyperParameters()
    hypermodel.build(hp)
    assert hp.values["features"] == "latent"
    widths = {}
    for features in hypermodel.features:
        hp.values.update(features=features, depth=1)
        classifier = hypermodel.build(hp)
        before = classifier.encoder.get_weights()
        hypermodel.fit(hp, classifier, IMAGES, LABELS, epochs=0, verbose=0)
        after = classifier.encoder.get_weights()
        changed = any(np.abs(a - b).max() > 0 for a, b in zip(before, after, strict=True))
        # Without epochs of its own the classifier changes by the pretraining alone.
        assert changed != is_trained
        widths[features] = classifier.encoder.output_shape[-1]
    assert widths["both"] == widths["latent"] + widths["residual"]


@pytest.mark.once
def test_a_configuration_has_the_weights_of_its_trial_in_any_process(autoencoder, tmp_path):
    def make():
        return hyper(autoencoder, l1=0, batch_size=16, dropout=0.25)

    tuner = keras_tuner.RandomSearch(make(), AUC, max_trials=1, seed=1, directory=tmp_path)
    kd.hypermodels.search(tuner, IMAGES, LABELS, validation_data=VALIDATION, epochs=1, verbose=0)
    hp = tuner.get_best_hyperparameters()[0]
    weights = [tuner.get_best_models()[0].get_weights()]
    # After the search, once more, and in a process that did not search.
    for hypermodel in (tuner.hypermodel, tuner.hypermodel, make()):
        model = hypermodel.build(hp)
        hypermodel.fit(hp, model, IMAGES, LABELS, validation_data=VALIDATION, verbose=0)
        weights.append(model.get_weights())
    for other in weights[1:]:
        for one, two in zip(weights[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.once
def test_executions_of_one_trial_differ_and_do_not_change_what_comes_after(autoencoder, tmp_path):
    hypermodel = hyper(autoencoder, l1=0, batch_size=16)
    heads = []

    class Notes(keras.callbacks.Callback):
        def __deepcopy__(self, memo):
            return self

        def on_train_end(self, logs=None):
            heads.append(self.model.get_weights()[-2])

    tuner = keras_tuner.RandomSearch(
        hypermodel, AUC, max_trials=1, seed=1, executions_per_trial=2, directory=tmp_path
    )
    kd.hypermodels.search(
        tuner, IMAGES, LABELS, validation_data=VALIDATION, callbacks=[Notes()], verbose=0
    )
    assert np.abs(heads[0] - heads[1]).max() > 1e-3
    hp = tuner.get_best_hyperparameters()[0]
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, IMAGES, LABELS, validation_data=VALIDATION, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[-2], heads[0])
