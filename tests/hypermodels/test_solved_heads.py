import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

import keras_deepfake as kd
from keras_deepfake.hypermodels import _frozen_features as frozen_features

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.random((40, 16, 16, 3)).astype("float32")
NUMBERS = np.arange(40) % 2
IMAGES[NUMBERS == 0, :, :, 0] *= 0.9
LABELS = keras.utils.to_categorical(NUMBERS, 2)
TRAIN, VALIDATION = (IMAGES[:30], LABELS[:30]), (IMAGES[30:], LABELS[30:])
AUC = keras_tuner.Objective("val_auc", "max")


def encoder_of(hp):
    keras.utils.set_random_seed(0)
    filters = hp.Choice("filters", [3, 4])
    return keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(filters, 4, strides=4)])


def hyper(**arguments):
    arguments = {"encoder": encoder_of, "head": "solved", "pooling": ("avg", "max"), **arguments}
    return kd.hypermodels.HyperEncoderClassifier((16, 16, 3), **arguments)


def values_of(**values):
    hp = keras_tuner.HyperParameters()
    hp.values = {"filters": 3, "pooling": "avg", "head_activation": "softmax", "l2": 0.01, **values}
    return hp


def test_a_trial_has_the_head_that_fit_head_solves_and_each_encoder_runs_once(
    tmp_path, monkeypatch
):
    encoded = []
    monkeypatch.setattr(
        frozen_features,
        "_array_features",
        lambda model, images, original=frozen_features._array_features: (
            encoded.append(images.shape),
            original(model, images),
        )[1],
    )
    tuner = keras_tuner.GridSearch(
        hyper(l2=1e-2, head_activation="softmax"), AUC, seed=1, directory=tmp_path
    )
    results = kd.hypermodels.search(tuner, *TRAIN, validation_data=VALIDATION, epochs=7, verbose=0)
    assert [row["state"] for row in results.rows] == ["COMPLETED"] * 4
    assert set(results.rows[0]["hyperparameters"]) == {
        "filters", "pooling", "l2", "head_activation"
    }  # fmt: skip
    # Two encoders, each once for the images of either part; the rest is pooling.
    assert len([shape for shape in encoded if shape[1:] == (16, 16, 3)]) == 4
    best = tuner.get_best_models()[0]
    reached = best.evaluate(*VALIDATION, verbose=0, return_dict=True)
    assert reached["auc"] == pytest.approx(results.rows[0]["score"], abs=1e-6)

    values = results.rows[0]["hyperparameters"]
    alone = kd.EncoderClassifier(encoder_of(values_of(**values)), pooling=values["pooling"])
    alone.fit_head(*TRAIN, l2=values["l2"], verbose=0)
    np.testing.assert_allclose(
        best.predict(VALIDATION[0], verbose=0), alone.predict(VALIDATION[0], verbose=0), atol=1e-5
    )


@pytest.mark.parametrize("activation", ["softmax", pytest.param("sigmoid", marks=pytest.mark.once)])
def test_a_dataset_and_a_vector_give_the_same_head_and_history(activation):
    flat = keras.Sequential([encoder_of(values_of()), keras.layers.GlobalAveragePooling2D()])
    heads = []
    for encoder, pooling, data in (
        (encoder_of, "avg", {"x": TRAIN[0], "y": TRAIN[1]}),
        (flat, None, {"x": tf.data.Dataset.from_tensor_slices(TRAIN).batch(15)}),
    ):
        hypermodel = hyper(encoder=encoder, pooling=pooling, head_activation=activation)
        hp = values_of(head_activation=activation)
        classifier = hypermodel.build(hp)
        history = hypermodel.fit(hp, classifier, **data, validation_data=VALIDATION, verbose=0)
        logs = {name: value[0] for name, value in history.history.items()}
        for prefix, part in (("", TRAIN), ("val_", VALIDATION)):
            expected = classifier.evaluate(*part, verbose=0, return_dict=True)
            for name, value in expected.items():
                assert logs[prefix + name] == pytest.approx(value, abs=1e-5)
        heads.append(classifier.get_layer("head").get_weights()[0])
    np.testing.assert_allclose(*heads, atol=1e-5)


@pytest.mark.once
def test_an_encoder_of_each_trial_is_pretrained_before_its_head_is_solved():
    space = kd.hypermodels.HyperConvAutoencoder((16, 16, 3), depth=1, filters=(4, 4, 4))
    hypermodel = hyper(
        encoder=None, autoencoder=space, pooling="avg", pretraining_epochs=1, head="solved"
    )
    hp = keras_tuner.HyperParameters()
    hypermodel.settings(hp)
    classifier = hypermodel.build(hp)
    before = classifier.encoder.get_weights()[0]
    hypermodel.fit(hp, classifier, *TRAIN, validation_data=VALIDATION, verbose=0)
    assert np.abs(classifier.encoder.get_weights()[0] - before).max() > 0


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "linear"}, "`head` must be"),
        ({"l2": (0, 0.1)}, "`l2` of a solved head must be above 0"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        hyper(**arguments)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation_split": 0.2}, "leave out .*validation_split"),
        ({"sample_weight": np.ones(30)}, "leave out .*sample_weight"),
        ({"validation_data": (*VALIDATION, np.ones(10))}, "leave out the sample weights"),
    ],
)
def test_a_solved_head_takes_all_images_alike(arguments, message):
    hypermodel = hyper()
    hp = values_of()
    with pytest.raises(keras_tuner.errors.FatalValueError, match=message):
        hypermodel.fit(hp, hypermodel.build(hp), *TRAIN, verbose=0, **arguments)
