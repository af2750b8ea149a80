"""Searches whose failures show, and their results."""

import csv
import functools
import json
import os
import pathlib
import tempfile

import keras_tuner
import numpy as np


def search(tuner, *args, **kwargs):
    """Run a KerasTuner search that cannot fail in silence and can be killed at any time.

    Before the first trial the arguments are checked: the objective must be a metric of the
    model, and the tuner's directory writable. After the last one the states of all trials and
    the error messages of those that failed are printed.

    A search that was killed goes on when the same tuner is made again, with the same seed and
    `overwrite=False` (its default), and given to this function. Finished trials are kept. With
    one worker and a seed that is not 0 (which KerasTuner takes for none) the trials are those
    of a search that was never interrupted.

    Args:
        tuner: A `keras_tuner.Tuner`.
        *args: Arguments of `keras.Model.fit`: the data.
        **kwargs: Arguments of `keras.Model.fit`, such as `validation_data`, `epochs` and
            `callbacks`. `verbose=0` prints nothing but the summary.

    Returns:
        `SearchResults`; `None` in a worker of a distributed search, whose chief has them.

    Raises:
        ValueError: If `tuner` is no tuner, or its objective is not among the metrics of the
            model.
        OSError: If the tuner's directory is not writable.
        RuntimeError: If no trial was completed.

    Example:
        ```python
        import keras_tuner

        hypermodel = kd.hypermodels.HyperConvAutoencoder((16, 16, 3), depth=1, filters=(4, 8, 4))
        tuner = keras_tuner.RandomSearch(
            hypermodel, keras_tuner.Objective("val_loss", "min"), max_trials=2, seed=1
        )
        images = np.zeros((4, 16, 16, 3), "float32")
        results = kd.hypermodels.search(
            tuner, images, images, validation_data=(images, images), verbose=0
        )
        print(results)
        ```
    """
    if not isinstance(tuner, keras_tuner.Tuner):
        raise ValueError(f"`tuner` must be a `keras_tuner.Tuner`; got {tuner!r}.")
    _check_directory(tuner)
    # What makes a tuner one of several processes is set in the environment.
    is_distributed = "KERASTUNER_ORACLE_IP" in os.environ
    is_chief = is_distributed and "chief" in os.environ["KERASTUNER_TUNER_ID"]
    if not is_chief:
        _check_objective(tuner, args, kwargs)
    if is_distributed and not is_chief:
        tuner.search(*args, **kwargs)
        return None
    _make_resumable(tuner)
    try:
        tuner.search(*args, **kwargs)
    finally:
        results = SearchResults(tuner)
        if tuner.oracle.trials:
            print(results)
    if not any(row["state"] == "COMPLETED" for row in results.rows):
        raise RuntimeError(
            "No trial was completed, so there is no best model. "
            + (f"The last error:\n{results.rows[-1]['error']}" if results.rows else "")
        )
    return results


class SearchResults:
    """The trials of a search: states, scores, seeds, hyperparameters and errors.

    Args:
        tuner: A `keras_tuner.Tuner` after its search; not a worker of a distributed one.

    Attributes:
        objective: Name of the objective.
        direction: `"min"` or `"max"`.
        rows: A dictionary a trial, the best first and those without a score last, with the
            keys `trial`, `state`, `score`, `epochs` (up to the best one), `seed`,
            `hyperparameters` (the active ones, by name) and `error`.

    Example:
        ```python
        import keras_tuner

        hypermodel = kd.hypermodels.HyperConvAutoencoder((16, 16, 3))
        tuner = keras_tuner.RandomSearch(hypermodel, keras_tuner.Objective("val_loss", "min"))
        kd.hypermodels.SearchResults(tuner).rows  # [], as there was no search
        ```
    """

    def __init__(self, tuner):
        oracle = tuner.oracle
        self.objective = oracle.objective.name
        self.direction = oracle.objective.direction
        sign = -1 if self.direction == "max" else 1
        self.rows = [_row(trial, tuner.hypermodel) for trial in oracle.trials.values()]
        self.rows.sort(
            key=lambda row: (row["score"] is None, sign * (row["score"] or 0), row["trial"])
        )

    def to_csv(self, path):
        """Write a table with a row a trial, the best first.

        The columns are trial, state, the objective, epochs, seed, every hyperparameter (empty
        where it is inactive) and the last line of the error. The file is there whole or not at
        all.

        Args:
            path: Where to write.
        """
        path = pathlib.Path(path)
        names = self.hyperparameter_names()
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            with open(temporary, "w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(
                    ["trial", "state", self.objective, "epochs", "seed", *names, "error"]
                )
                for row in self.rows:
                    writer.writerow(
                        [row["trial"], row["state"], row["score"], row["epochs"], row["seed"]]
                        + [row["hyperparameters"].get(name, "") for name in names]
                        + [_last_line(row["error"])]
                    )
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def hyperparameter_names(self):
        """List the names of all hyperparameters that are active in some trial."""
        return list(dict.fromkeys(name for row in self.rows for name in row["hyperparameters"]))

    def __str__(self):
        states = [row["state"] for row in self.rows]
        counts = ", ".join(
            f"{states.count(state)} {state.lower()}" for state in dict.fromkeys(sorted(states))
        )
        lines = [f"{len(states)} trials: {counts}"]
        for row in self.rows[:5]:
            if row["score"] is not None:
                values = ", ".join(f"{k}={_short(v)}" for k, v in row["hyperparameters"].items())
                lines.append(
                    f"  trial {row['trial']}: {self.objective} {row['score']:.4f} ({values})"
                )
        for row in self.rows:
            if row["error"]:
                lines.append(f"  trial {row['trial']} {row['state']}: {_last_line(row['error'])}")
        return "\n".join(lines)


def _row(trial, hypermodel):
    hp = trial.hyperparameters
    names = {p.name: None for p in hp.space if hp.is_active(p) and p.name in hp.values}
    completed = trial.status == "COMPLETED"
    has_seed = hasattr(hypermodel, "trial_seed")
    return {
        "trial": trial.trial_id,
        "state": trial.status,
        "score": float(trial.score) if completed and trial.score is not None else None,
        "epochs": trial.best_step + 1 if completed else None,
        "seed": hypermodel.trial_seed(hp) if has_seed else None,
        "hyperparameters": {
            **{name: hp.values[name] for name in names},
            # Hyperband's own, which say how long a trial was.
            **{name: value for name, value in hp.values.items() if name.startswith("tuner/")},
        },
        "error": trial.message,
    }


def _last_line(message):
    return message.strip().splitlines()[-1] if message else ""


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else value


def _check_directory(tuner):
    try:
        with tempfile.TemporaryFile(dir=tuner.project_dir):
            pass
    except OSError as error:
        raise OSError(
            f"The tuner's directory {str(tuner.project_dir)!r} is not writable ({error}). Give "
            "the tuner another `directory`."
        ) from error


def _check_objective(tuner, args, kwargs):
    model = tuner.hypermodel.build(tuner.oracle.get_space())
    if not (model.inputs and len(model.inputs) == len(model.outputs) == 1):
        return
    image, target = (
        np.zeros((1, *shape[1:]), "float32") for shape in (model.input_shape, model.output_shape)
    )
    names = set(model.evaluate(image, target, verbose=0, return_dict=True))
    if "validation_data" in kwargs or "validation_split" in kwargs:
        names |= {f"val_{name}" for name in names}
    objective = tuner.oracle.objective
    wanted = getattr(objective, "objectives", [objective])
    missing = [one.name for one in wanted if one.name not in names]
    if missing:
        raise ValueError(
            f"The objective {missing[0]!r} is not among what training reports: {sorted(names)}. "
            "Give the tuner `keras_tuner.Objective(name, direction)` with one of them; names that "
            "begin with 'val_' need `validation_data`."
        )


def _make_resumable(tuner):
    """Makes what KerasTuner writes complete at any moment, and its random state reloadable."""
    oracle = tuner.oracle
    # A search that was killed between the files of a new trial and of the oracle knows the
    # trial only half. It is drawn again, with the same values.
    known = set(oracle.start_order)
    for trial_id in [trial_id for trial_id in oracle.trials if trial_id not in known]:
        del oracle.trials[trial_id]

    if hasattr(oracle, "_ordered_ids"):
        # Where a grid search stands is not saved; it follows from the trials there were.
        oracle._ordered_ids, previous = type(oracle._ordered_ids)(), None
        values = {name: trial.hyperparameters.values for name, trial in oracle.trials.items()}
        compare = functools.cmp_to_key(lambda a, b: oracle._compare(values[a], values[b]))
        for trial_id in sorted(values, key=compare):
            oracle._ordered_ids.insert(trial_id, previous)
            previous = trial_id
        oracle._populate_next = list(oracle.end_order)

    def save_trial(trial):
        path = os.path.join(oracle._get_trial_dir(trial.trial_id), "trial.json")
        _write_json(path, trial.get_state())

    oracle._save_trial = save_trial
    oracle.save = lambda: _write_json(oracle._get_oracle_fname(), oracle.get_state())

    def save():
        oracle.save()
        _write_json(tuner._get_tuner_fname(), tuner.get_state())

    tuner.save = save
    # KerasTuner reloads a search only where the tuner's own file is, and writes that after the
    # first trial.
    tuner.save()
    random_state = getattr(oracle, "_random_state", None)
    if random_state is not None:
        # That of Bayesian optimization is not among what is saved.
        create_trial = oracle.create_trial

        def create_reproducible_trial(tuner_id):
            random_state.seed((oracle.seed + len(oracle.trials)) % 2**32)
            return create_trial(tuner_id)

        oracle.create_trial = create_reproducible_trial


def _write_json(path, state):
    temporary = f"{path}.tmp"
    with open(temporary, "w") as file:
        json.dump(state, file)
    os.replace(temporary, path)
