"""Searches whose failures show, and their results."""

import csv
import functools
import json
import os
import pathlib
import sys
import tempfile
import threading

import keras_tuner
import numpy as np
import tensorflow as tf

from keras_deepfake.hypermodels.seeded_hyper_model import SeededHyperModel, fit_arguments


def search(tuner, *args, **kwargs):
    """Run a KerasTuner search that cannot fail in silence and can be killed at any time.

    Before the first trial the arguments are checked: the objective must be a metric of the
    model, the data must fit it, and the tuner's directory must be writable. After the last one
    the states of all trials and the error messages of those that failed are printed.

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
        `SearchResults`. `None` in a worker of a distributed search, whose chief has them, and
        in every process that `run_local_workers` started, as it has them itself.

    Raises:
        ValueError: If `tuner` is no tuner, its objective is not among the metrics of the model
            or has the wrong direction, the data do not fit the model, or the tuner's directory
            holds a search of another objective or space.
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
    check_tuner(tuner)
    # What makes a tuner one of several processes is set in the environment.
    is_distributed = "KERASTUNER_ORACLE_IP" in os.environ
    is_chief = is_distributed and "chief" in os.environ["KERASTUNER_TUNER_ID"]
    is_launched = LAUNCHED in os.environ
    if not is_distributed or is_chief:
        _check_project(tuner)
    if is_launched:
        _end_with_the_launcher()
    if isinstance(tuner.hypermodel, SeededHyperModel) and not is_chief:
        _check_arguments(tuner, args, kwargs)
    if is_distributed and not is_chief:
        tuner.search(*args, **kwargs)
        return None
    _make_resumable(tuner)
    if is_launched:
        tuner.search(*args, **kwargs)
        return None
    try:
        tuner.search(*args, **kwargs)
    finally:
        results = SearchResults(tuner)
        print(results)
    results.raise_if_none_completed()
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
        # The trial with the most of them has them in the order of their declaration.
        rows = sorted((row["hyperparameters"] for row in self.rows), key=len, reverse=True)
        return list(dict.fromkeys(name for names in rows for name in names))

    def raise_if_none_completed(self):
        """Raise a `RuntimeError` with the last error if there is no best model."""
        if not any(row["state"] == "COMPLETED" for row in self.rows):
            last = f"The last error:\n{self.rows[-1]['error']}" if self.rows else ""
            raise RuntimeError(f"No trial was completed, so there is no best model. {last}")

    def __str__(self):
        if not self.rows:
            return "0 trials"
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
    completed = trial.status == "COMPLETED"
    is_ours = isinstance(hypermodel, SeededHyperModel)
    if is_ours:
        names = hypermodel.settings(hp.copy())  # in the order in which they are declared
    else:
        names = [p.name for p in hp.space if hp.is_active(p) and p.name in hp.values]
    return {
        "trial": trial.trial_id,
        "state": trial.status,
        "score": float(trial.score) if completed and trial.score is not None else None,
        # A trial of Hyperband may go on where another ended.
        "epochs": trial.best_step + 1 + hp.values.get("tuner/initial_epoch", 0)
        if completed
        else None,
        "seed": hypermodel.trial_seed(hp) if is_ours else None,
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


def check_tuner(tuner):
    """Refuse what is no tuner, or cannot write where it should."""
    if not isinstance(tuner, keras_tuner.Tuner):
        raise ValueError(f"`tuner` must be a `keras_tuner.Tuner`; got {tuner!r}.")
    try:
        with tempfile.TemporaryFile(dir=tuner.project_dir):
            pass
    except OSError as error:
        raise OSError(
            f"The tuner's directory {str(tuner.project_dir)!r} is not writable ({error}). Give "
            "the tuner another `directory`."
        ) from error


def _check_project(tuner):
    """Refuses to go on with trials that another objective scored or another space made.

    KerasTuner would take their scores for those of the new objective, and the old space.
    """
    objective = tuner.oracle.objective
    objectives = getattr(objective, "objectives", [objective])
    settings = {"objective": [[one.name, one.direction] for one in objectives]}
    if isinstance(tuner.hypermodel, SeededHyperModel):
        hp = keras_tuner.HyperParameters()
        tuner.hypermodel.settings(hp)
        settings["seed"] = tuner.hypermodel.seed
        settings["space"] = hp.get_config()["space"]
    settings = json.loads(json.dumps(settings))
    path = os.path.join(tuner.project_dir, "search.json")
    if not os.path.exists(path):
        _write_json(path, settings)
        return
    with open(path) as file:
        previous = json.load(file)
    different = [name for name in settings if settings[name] != previous.get(name)]
    if different:
        raise ValueError(
            f"{str(tuner.project_dir)!r} holds a search with another {' and '.join(different)}. "
            "Make the tuner with those of before to go on with it, or with another "
            "`project_name`, or with `overwrite=True` to delete it."
        )


def _check_arguments(tuner, args, kwargs):
    arguments = fit_arguments(args, kwargs)
    model = tuner.hypermodel.build(tuner.oracle.get_space())
    _check_data(
        "x", [arguments[name] for name in ("x", "y", "sample_weight") if name in arguments], model
    )
    validation = arguments.get("validation_data")
    if validation is not None:
        is_dataset = isinstance(validation, tf.data.Dataset)
        _check_data("validation_data", [validation] if is_dataset else validation, model)

    image, target = (
        np.zeros((1, *shape[1:]), "float32") for shape in (model.input_shape, model.output_shape)
    )
    names = set(model.evaluate(image, target, verbose=0, return_dict=True))
    if validation is not None or "validation_split" in arguments:
        names |= {f"val_{name}" for name in names}
    objective = tuner.oracle.objective
    for one in getattr(objective, "objectives", [objective]):
        _check_objective(one, names, model)


def _check_objective(objective, names, model):
    if objective.name not in names:
        raise ValueError(
            f"The objective {objective.name!r} is not among what training reports: "
            f"{sorted(names)}. Give the tuner `keras_tuner.Objective(name, direction)` with one of "
            "them; names that begin with 'val_' need `validation_data`."
        )
    better = {"loss": "min"}
    for group in model.metrics:
        for metric in getattr(group, "metrics", [group]):
            # Keras's own callbacks tell by this when a metric improves.
            if getattr(metric, "_direction", None) is not None:
                better[metric.name] = "max" if metric._direction == "up" else "min"
    direction = better.get(objective.name.removeprefix("val_"), objective.direction)
    if direction != objective.direction:
        raise ValueError(
            f"The tuner looks for the {objective.direction}imum of {objective.name!r}, which is "
            f"better the {'higher' if direction == 'max' else 'lower'}. Give the tuner "
            f"`keras_tuner.Objective({objective.name!r}, {direction!r})`."
        )


def _check_data(name, parts, model):
    is_dataset = isinstance(parts[0], tf.data.Dataset)
    if is_dataset:
        specs = parts[0].element_spec
        specs = specs if isinstance(specs, tuple) else (specs,)
        is_batched = specs[0].shape.rank == len(model.input_shape)
        shapes = [tuple(spec.shape)[is_batched:] for spec in specs[:2]]
    else:
        lengths = [len(part) for part in parts if part is not None]
        if len(set(lengths)) > 1:
            raise ValueError(
                f"`{name}` must hold as many targets as images; got arrays of the lengths "
                f"{lengths}."
            )
        shapes = [tuple(np.shape(part))[1:] for part in parts[:2]]
    wanted = [model.input_shape[1:], model.output_shape[1:]]
    if len(shapes) < 2 or any(
        len(shape) != len(other)
        or any(side not in (None, fixed) for side, fixed in zip(shape, other, strict=True))
        for shape, other in zip(shapes, wanted, strict=True)
    ):
        raise ValueError(
            f"`{name}` must hold images and targets of the shapes {wanted[0]} and {wanted[1]}; got "
            f"{' and '.join(map(str, shapes))}."
        )
    is_endless = is_dataset and parts[0].cardinality() == tf.data.INFINITE_CARDINALITY
    if len(wanted[1]) == 1 and not is_endless:
        classes = _two_classes((y for _, y, *_ in parts[0]) if is_dataset else [parts[1]])
        if len(classes) < 2:
            raise ValueError(
                f"The labels of `{name}` must hold at least two classes; columns with a label are "
                f"{sorted(classes)}."
            )


def _two_classes(batches):
    """Columns with a label, read until there are two of them."""
    classes = set()
    for labels in batches:
        classes.update(np.nonzero(np.asarray(labels))[-1].tolist())
        if len(classes) > 1:
            break
    return classes


# Set in the environment of the processes that `run_local_workers` starts.
LAUNCHED = "KERAS_DEEPFAKE_LAUNCHED"


def _end_with_the_launcher():
    """End this process when the one that started it is gone, however it ended."""

    def wait():
        # Not `sys.stdin.read`, whose lock the interpreter would wait for when it ends.
        os.read(sys.stdin.fileno(), 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _make_resumable(tuner):
    """Makes what KerasTuner writes complete at any moment, and its state reloadable.

    KerasTuner has no public names for this; `pyproject.toml` holds it to the releases that were
    tested.
    """
    oracle = tuner.oracle
    # KerasTuner itself reloads a search only where the file of this very process is, and writes
    # that after its first trial.
    if os.path.exists(os.path.join(tuner.project_dir, "oracle.json")):
        oracle.reload()
    # A search that was killed between the files of a new trial and of the oracle knows the
    # trial only half. It is drawn again, with the same values.
    known = set(oracle.start_order)
    for trial_id in [trial_id for trial_id in oracle.trials if trial_id not in known]:
        del oracle.trials[trial_id]
    # The oracle writes its file while a trial that has just ended still counts as running.
    ended = set(oracle.end_order)
    oracle._retry_queue = [trial_id for trial_id in oracle._retry_queue if trial_id not in ended]

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
