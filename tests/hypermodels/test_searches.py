import csv
import gc
import itertools
import json
import os
import sys

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

import keras_deepfake as kd
from keras_deepfake._locks import FileLock
from keras_deepfake.hypermodels import searches

IMAGES = np.random.default_rng(0).random((8, 8, 8, 3)).astype("float32")
LOSS = keras_tuner.Objective("val_loss", "min")


class Formula(kd.hypermodels.HyperConvAutoencoder):
    """The search space of autoencoders, with a formula in place of the training."""

    error = None

    def __init__(self, **arguments):
        super().__init__(
            (8, 8, 3),
            **{
                "depth": 1,
                "filters": (2, 12, 1),
                "activation": "relu",
                "normalization": None,
                "corruption": None,
                "learning_rate": 1e-3,
                "batch_size": 4,
                **arguments,
            },
        )
        self.ran = []

    def build_model(self, settings):
        model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Activation("linear")])
        model.compile("sgd", "mse", metrics=["accuracy"])
        return model

    def fit_model(self, settings, model, arguments):
        self.ran.append(settings)
        if self.error is not None and len(self.ran) in self.error:
            raise ValueError("out of chalk")
        noise = keras.random.uniform((), seed=keras.random.SeedGenerator())
        return {"val_loss": abs(settings["filters_0"] - 6) + 0.1 * float(noise)}


@pytest.fixture(autouse=True)
def no_collection(monkeypatch):
    """KerasTuner collects garbage in every trial, which is far slower than the formula."""
    monkeypatch.setattr(gc, "collect", lambda: 0)


def make_tuner(folder, make=keras_tuner.RandomSearch, hypermodel=None, objective=LOSS, **arguments):
    arguments = {"max_trials": 3, **arguments} if make is not keras_tuner.Hyperband else arguments
    return make(
        hypermodel or Formula(),
        objective,
        seed=1,
        directory=folder,
        project_name="search",
        **arguments,
    )


def run(tuner, **arguments):
    defaults = {"y": IMAGES, "validation_data": (IMAGES, IMAGES), "verbose": 0}
    return kd.hypermodels.search(tuner, IMAGES, **{**defaults, **arguments})


def test_failed_trials_are_reported(tmp_path, capsys):
    tuner = make_tuner(tmp_path)
    tuner.hypermodel.error = [2]
    results = run(tuner)
    printed = capsys.readouterr().out
    assert "2 completed, 1 failed" in printed
    assert "out of chalk" in printed
    assert [row["state"] for row in results.rows] == ["COMPLETED", "COMPLETED", "FAILED"]
    assert results.rows[0]["score"] <= results.rows[1]["score"]


@pytest.mark.parametrize("max_trials", [2, 5])
def test_a_search_without_a_completed_trial_raises(tmp_path, capsys, max_trials):
    # KerasTuner itself ends two failures like a success, and raises only at a third.
    tuner = make_tuner(tmp_path, max_trials=max_trials)
    tuner.hypermodel.error = range(10)
    with pytest.raises(RuntimeError, match="out of chalk"):
        run(tuner)
    assert "failed" in capsys.readouterr().out


TUNERS = {
    "random": (keras_tuner.RandomSearch, {"max_trials": 4}),
    "grid": (keras_tuner.GridSearch, {"max_trials": 4}),
    "bayesian": (keras_tuner.BayesianOptimization, {"max_trials": 4, "num_initial_points": 3}),
    "hyperband": (keras_tuner.Hyperband, {"max_epochs": 2, "factor": 2}),
}


class Killed(BaseException):
    """What no `except Exception` stops, as the end of the process."""


@pytest.mark.parametrize("name", TUNERS)
def test_a_search_killed_at_any_time_goes_on_as_if_nothing_had_happened(
    tmp_path, monkeypatch, name
):
    make, arguments = TUNERS[name]
    # Continued trials of Hyperband read a checkpoint, which a formula has not.
    monkeypatch.setattr(
        keras_tuner.Hyperband, "_build_hypermodel", keras_tuner.Tuner._build_hypermodel
    )
    monkeypatch.setattr(searches, "check_arguments", lambda *args: None)
    writes = itertools.count()
    replace, last = os.replace, float("inf")

    def replace_or_die(source, target):
        if next(writes) >= last:
            raise Killed
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_or_die)

    whole = run(make_tuner(tmp_path / "whole", make, **arguments))
    assert len({row["score"] for row in whole.rows}) > 2
    count = next(writes)
    # Every kind of write at some trial, and the last.
    for kill in range(count - 1, 0, -5 if name == "bayesian" else -3):
        writes, last = itertools.count(), kill
        with pytest.raises(Killed):
            run(make_tuner(tmp_path / f"{kill}", make, **arguments))
        last = float("inf")
        oracle = tmp_path / f"{kill}" / "search" / "oracle.json"
        finished = json.loads(oracle.read_text())["end_order"] if oracle.exists() else []
        tuner = make_tuner(tmp_path / f"{kill}", make, **arguments)
        assert run(tuner).rows == whole.rows
        assert len(tuner.hypermodel.ran) == len(whole.rows) - len(finished)


def test_another_search_does_not_go_on_with_these_trials(tmp_path):
    before = run(make_tuner(tmp_path))
    accuracy = keras_tuner.Objective("val_accuracy", "max")
    for others, what in (
        ({"objective": accuracy}, "objective"),
        ({"hypermodel": Formula(filters=(2, 6, 1))}, "space"),
        ({"hypermodel": Formula(seed=3), "objective": accuracy}, "objective and seed"),
    ):
        with pytest.raises(ValueError, match=f"a search with another {what}"):
            run(make_tuner(tmp_path, **others))
    assert run(make_tuner(tmp_path)).rows == before.rows
    other_space = Formula(filters=(2, 6, 1))
    assert run(make_tuner(tmp_path, hypermodel=other_space, overwrite=True)).rows != before.rows


def test_a_search_of_several_processes_goes_on_in_one(tmp_path, monkeypatch):
    whole = run(make_tuner(tmp_path / "whole", max_trials=3))
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    run(make_tuner(tmp_path / "parts", max_trials=2))
    monkeypatch.delenv("KERASTUNER_TUNER_ID")
    # The chief's file of the oracle is older than the end of the last trial.
    oracle = tmp_path / "parts" / "search" / "oracle.json"
    text = oracle.read_text()
    assert '"ongoing_trials": {}' in text
    oracle.write_text(text.replace('"ongoing_trials": {}', '"ongoing_trials": {"worker0": "1"}'))
    tuner = make_tuner(tmp_path / "parts", max_trials=3)
    assert run(tuner).rows == whole.rows
    assert len(tuner.hypermodel.ran) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"objective": keras_tuner.Objective("val_f1_score", "max")}, "'accuracy', 'loss'"),
        (
            {"objective": keras_tuner.Objective("val_loss", "max")},
            "val_loss.* better the lower",
        ),
        ({"objective": keras_tuner.Objective("val_accuracy", "min")}, "better the higher"),
        ({"objective": "loss", "validation_data": None, "x": IMAGES[:, :4]}, r"\(8, 8, 3\)"),
        ({"validation_data": None}, "`validation_data`"),
        ({"validation_data": (IMAGES,)}, "`validation_data` must hold images and targets"),
        ({"y": IMAGES[:, :4]}, "`x` must hold images and targets"),
        ({"y": IMAGES[:4]}, r"`x` must hold as many targets as images.*\[8, 4\]"),
        ({"sample_weight": np.ones(7)}, r"`x` must hold as many .*\[8, 8, 7\]"),
        ({"validation_data": (IMAGES, IMAGES[:4])}, "`validation_data` must hold as many"),
        ({"batch_size": 4}, "`batch_size` is a hyperparameter"),
        ({"x": np.zeros((0, 8, 8, 3)), "y": np.zeros((0, 8, 8, 3))}, "one or more"),
        ({"x": 255 * IMAGES}, r"`x` .*\[0, 1\]"),
        ({"x": (255 * IMAGES).astype("uint8")}, "`x` .*uint8. Divide them by 255"),
        ({"x": np.where(IMAGES > 0.9, np.nan, IMAGES)}, r"`x\[0\]` .*NaN"),
        ({"validation_data": (IMAGES - 1, IMAGES)}, "`validation_data` .*values from -"),
        (
            {"x": tf.data.Dataset.from_tensors((255 * IMAGES, IMAGES)), "y": None},
            r"`x` .*\[0, 1\]",
        ),
        (
            {"validation_data": tf.data.Dataset.from_tensor_slices((255 * IMAGES, IMAGES))},
            r"`validation_data` .*\[0, 1\]",
        ),
        (
            {"callbacks": [kd.callbacks.ResumeTraining("state.npz")]},
            "no `ResumeTraining`: trials would share its file",
        ),
        ({"callbacks": [keras.callbacks.BackupAndRestore("state")]}, "no `BackupAndRestore`"),
        (
            {"x": tf.data.Dataset.from_tensors((IMAGES, IMAGES)).repeat(), "y": None},
            "`x` never ends.* give `steps_per_epoch`",
        ),
        (
            {"validation_data": tf.data.Dataset.from_tensors((IMAGES, IMAGES)).repeat()},
            "`validation_data` never ends.* give `validation_steps`",
        ),
    ],
)
def test_mistakes_are_refused_before_the_first_trial(tmp_path, arguments, message):
    search = make_tuner(tmp_path, objective=arguments.pop("objective", LOSS))
    arguments = {
        "x": IMAGES,
        "y": IMAGES,
        "validation_data": (IMAGES, IMAGES),
        "verbose": 0,
        **arguments,
    }
    with pytest.raises(ValueError, match=message):
        kd.hypermodels.search(search, **arguments)
    assert not search.oracle.trials


def test_an_unwritable_directory_is_refused(tmp_path, monkeypatch):
    search = make_tuner(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setattr(type(search), "project_dir", tmp_path / "file")
    with pytest.raises(OSError, match="not writable"):
        run(search)


def test_two_do_not_search_in_one_directory(tmp_path):
    """The lock is one that another process meets as well: tests/test_locks.py."""
    tuner = make_tuner(tmp_path)
    with FileLock(f"{tuner.project_dir}/.lock"):
        with pytest.raises(ValueError, match="Another process works on the same files"):
            run(tuner)
        with pytest.raises(ValueError, match="Another process works on the same files"):
            kd.hypermodels.run_local_workers(tuner, 1, [sys.executable, "-c", ""])
    assert len(run(tuner).rows) == 3


def test_only_tuners_are_searched():
    with pytest.raises(ValueError, match="`tuner`"):
        kd.hypermodels.search(keras.Sequential())


def test_the_table_and_the_picture_hold_what_was_tried(tmp_path):
    hypermodel = Formula(learning_rate=(1e-4, 1e-2))
    hypermodel.error = [2]
    search = make_tuner(tmp_path, hypermodel=hypermodel)
    results = run(search)
    results.to_csv(tmp_path / "results.csv")
    with open(tmp_path / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["COMPLETED", "COMPLETED", "FAILED"]
    best = search.get_best_hyperparameters()[0]
    assert rows[0]["filters_0"] == str(best.get("filters_0"))
    assert rows[0]["seed"] == str(search.hypermodel.trial_seed(best))
    assert float(rows[0]["val_loss"]) == search.oracle.get_best_trials()[0].score
    assert "out of chalk" in rows[2]["error"]
    results.save(tmp_path / "results.json")
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved["objective"] == "val_loss"
    assert [trial["score"] for trial in saved["trials"]] == [row["score"] for row in results.rows]

    figure = kd.visualization.plot_search(results)
    assert {"val_loss"} == {ax.get_ylabel() for ax in figure.axes}
    assert "learning_rate" in [ax.get_xlabel() for ax in figure.axes]
    star = figure.axes[0].collections[1].get_offsets()
    assert star[0][1] == pytest.approx(results.rows[0]["score"])
    for wrong in (["depths"], "filters_0", [], 3):
        with pytest.raises(ValueError, match="`hyperparameters`"):
            kd.visualization.plot_search(results, wrong)
    with pytest.raises(ValueError, match="`results` must be"):
        kd.visualization.plot_search([results])


class OneColumn(kd.hypermodels.SeededHyperModel):
    """A search space of somebody else, of detectors with one column."""

    loss = "binary_crossentropy"
    columns = 1

    def settings(self, hp):
        return {"rate": hp.Float("rate", 0.001, 0.1), "batch_size": hp.Fixed("batch_size", 4)}

    def build_model(self, settings):
        layers = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(self.columns)]
        model = keras.Sequential([keras.Input((8, 8, 3)), *layers, keras.layers.Softmax()])
        model.compile(keras.optimizers.SGD(settings["rate"]), self.loss)
        return model


class ClassNumbers(OneColumn):
    loss = "sparse_categorical_crossentropy"
    columns = 3


@pytest.mark.parametrize("make", [OneColumn, ClassNumbers])
def test_other_search_spaces_may_have_labels_of_their_own(tmp_path, make):
    labels = np.arange(8) % 2
    tuner = make_tuner(tmp_path, hypermodel=make(), max_trials=1)
    results = run(tuner, y=labels, validation_data=(IMAGES, labels))
    assert [row["state"] for row in results.rows] == ["COMPLETED"]
    with pytest.raises(ValueError, match="two classes; got"):
        run(make_tuner(tmp_path / "other", hypermodel=make()), y=0 * labels)


def test_a_search_space_without_a_batch_size_is_refused(tmp_path):
    class NoBatchSize(OneColumn):
        def settings(self, hp):
            return {"rate": hp.Float("rate", 0.001, 0.1)}

    with pytest.raises(ValueError, match="must return the 'batch_size'"):
        make_tuner(tmp_path, hypermodel=NoBatchSize())
