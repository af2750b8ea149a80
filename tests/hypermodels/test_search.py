import csv

import keras
import keras_tuner
import numpy as np
import pytest

import keras_deepfake as kd

IMAGES = np.random.default_rng(0).random((8, 8, 8, 3)).astype("float32")
LOSS = keras_tuner.Objective("val_loss", "min")


def tuner(folder, make=keras_tuner.RandomSearch, objective=LOSS, **arguments):
    hypermodel = kd.hypermodels.HyperConvAutoencoder(
        (8, 8, 3), depth=(1, 2), filters=(2, 4, 2), batch_size=(4, 8), corruption=None
    )
    return make(hypermodel, objective, seed=1, directory=folder, project_name="search", **arguments)


def run(tuner, **arguments):
    return kd.hypermodels.search(
        tuner, IMAGES, IMAGES, validation_data=(IMAGES, IMAGES), verbose=0, **arguments
    )


class Failing(keras.callbacks.Callback):
    """Fails from the given epoch of the search on, for `count` epochs."""

    def __init__(self, first, count=1000, error=ValueError):
        super().__init__()
        self.first, self.count, self.error, self.epochs = first, count, error, 0

    def __deepcopy__(self, memo):
        return self

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1
        if self.first <= self.epochs < self.first + self.count:
            raise self.error("out of chalk")


def test_failed_trials_are_reported(tmp_path, capsys):
    results = run(tuner(tmp_path, max_trials=3), callbacks=[Failing(2, 1)])
    printed = capsys.readouterr().out
    assert "2 completed, 1 failed" in printed
    assert "out of chalk" in printed
    assert [row["state"] for row in results.rows] == ["COMPLETED", "COMPLETED", "FAILED"]
    assert results.rows[0]["score"] <= results.rows[1]["score"]


@pytest.mark.parametrize("max_trials", [2, 5])
def test_a_search_without_a_completed_trial_raises(tmp_path, capsys, max_trials):
    # KerasTuner itself ends two failures like a success, and raises only at a third.
    with pytest.raises(RuntimeError, match="out of chalk"):
        run(tuner(tmp_path, max_trials=max_trials), callbacks=[Failing(1)])
    assert "failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (keras_tuner.RandomSearch, {"max_trials": 4}),
        (keras_tuner.BayesianOptimization, {"max_trials": 5, "num_initial_points": 2}),
        (keras_tuner.GridSearch, {"max_trials": 4}),
    ],
)
def test_a_killed_search_goes_on_as_if_nothing_had_happened(tmp_path, make, arguments):
    whole = run(tuner(tmp_path / "whole", make, **arguments))
    with pytest.raises(KeyboardInterrupt):
        run(
            tuner(tmp_path / "parts", make, **arguments),
            callbacks=[Failing(3, error=KeyboardInterrupt)],
        )
    notes = Failing(1000)
    parts = run(tuner(tmp_path / "parts", make, **arguments), callbacks=[notes])
    assert notes.epochs == arguments["max_trials"] - 2  # two trials were finished before
    assert parts.rows == whole.rows


def test_a_trial_that_was_half_written_is_drawn_again(tmp_path):
    first = tuner(tmp_path, max_trials=2)
    whole = run(first)
    oracle = first.oracle
    # As if the process had died between the files of the third trial and of the oracle.
    oracle.max_trials = 3
    save, oracle.save = oracle.save, lambda: None
    oracle.create_trial("tuner0")
    oracle.save = save
    again = run(tuner(tmp_path, max_trials=3))
    assert [row["state"] for row in again.rows] == ["COMPLETED"] * 3
    assert all(row in again.rows for row in whole.rows)


def test_an_objective_that_nothing_produces_is_refused_before_the_first_trial(tmp_path):
    objective = keras_tuner.Objective("val_f1_score", "max")
    search = tuner(tmp_path, objective=objective, max_trials=2)
    with pytest.raises(ValueError, match=r"objective 'val_.*\['accuracy', 'loss'"):
        run(search)
    assert not search.oracle.trials


def test_a_validation_objective_needs_validation_data(tmp_path):
    with pytest.raises(ValueError, match="`validation_data`"):
        kd.hypermodels.search(tuner(tmp_path, max_trials=2), IMAGES, IMAGES)


def test_an_unwritable_directory_is_refused(tmp_path, monkeypatch):
    search = tuner(tmp_path, max_trials=2)
    (tmp_path / "file").touch()
    monkeypatch.setattr(type(search), "project_dir", tmp_path / "file")
    with pytest.raises(OSError, match="not writable"):
        run(search)


def test_only_tuners_are_searched():
    with pytest.raises(ValueError, match="`tuner`"):
        kd.hypermodels.search(keras.Sequential())


def test_the_table_holds_what_was_tried(tmp_path):
    search = tuner(tmp_path, max_trials=3)
    results = run(search, callbacks=[Failing(2, 1)])
    results.to_csv(tmp_path / "results.csv")
    with open(tmp_path / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert [row["state"] for row in rows] == ["COMPLETED", "COMPLETED", "FAILED"]
    best = search.get_best_hyperparameters()[0]
    assert rows[0]["filters_0"] == str(best.get("filters_0"))
    assert rows[0]["seed"] == str(search.hypermodel.trial_seed(best))
    assert float(rows[0]["val_loss"]) == search.oracle.get_best_trials()[0].score
    assert "out of chalk" in rows[2]["error"]
    assert not list(tmp_path.glob(".*.tmp"))

    figure = kd.visualization.plot_search(results)
    assert {"val_loss"} == {ax.get_ylabel() for ax in figure.axes}
    assert "learning_rate" in [ax.get_xlabel() for ax in figure.axes]
    star = figure.axes[0].collections[1].get_offsets()
    assert star[0][1] == pytest.approx(results.rows[0]["score"])
    with pytest.raises(ValueError, match="`hyperparameters`"):
        kd.visualization.plot_search(results, ["depths"])
