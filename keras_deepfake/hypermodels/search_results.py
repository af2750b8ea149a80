"""The trials of a search."""

from keras_deepfake._results import Result
from keras_deepfake.hypermodels._search_checks import check_tuner
from keras_deepfake.hypermodels.seeded_hyper_model import SeededHyperModel


class SearchResults(Result):
    """The trials of a search: states, scores, seeds, hyperparameters and errors.

    It prints as a summary. `to_csv(path)` writes a table with a row a trial, the best first:
    trial, state, the objective, epochs, seed, every hyperparameter (empty where it is inactive)
    and the last line of the error. `to_json()`, `to_html()` and `save(path)` are those of every
    result of the library.

    Args:
        tuner: A `keras_tuner.Tuner` after its search; not a worker of a distributed one.

    Attributes:
        objective: Name of the objective.
        direction: `"min"` or `"max"`.
        rows: A dictionary a trial, the best first and those without a score last, with the
            keys `trial`, `state`, `score`, `epochs` (up to the best one), `seed`,
            `hyperparameters` (the active ones, by name) and `error`.

    Raises:
        ValueError: If `tuner` is no tuner.

    Example:
        ```python
        import keras_tuner

        hypermodel = kd.hypermodels.HyperConvAutoencoder((16, 16, 3))
        tuner = keras_tuner.RandomSearch(hypermodel, keras_tuner.Objective("val_loss", "min"))
        kd.hypermodels.SearchResults(tuner).rows  # [], as there was no search
        ```
    """

    def __init__(self, tuner):
        check_tuner(tuner)
        oracle = tuner.oracle
        self.objective = oracle.objective.name
        self.direction = oracle.objective.direction
        sign = -1 if self.direction == "max" else 1
        self.rows = [_row(trial, tuner.hypermodel) for trial in oracle.trials.values()]
        self.rows.sort(
            key=lambda row: (row["score"] is None, sign * (row["score"] or 0), row["trial"])
        )

    def figures(self):
        """The objective, its direction, and the trials as in `rows`."""
        return {"objective": self.objective, "direction": self.direction, "trials": self.rows}

    def table(self):
        """The headings, and a row a trial."""
        names = self.hyperparameter_names()
        headings = ["trial", "state", self.objective, "epochs", "seed", *names, "error"]
        return [
            headings,
            *(
                [row["trial"], row["state"], row["score"], row["epochs"], row["seed"]]
                + [row["hyperparameters"].get(name, "") for name in names]
                + [_last_line(row["error"])]
                for row in self.rows
            ),
        ]

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

    def summary(self):
        """How many trials ended in which state."""
        states = [row["state"] for row in self.rows]
        counts = [f"{states.count(state)} {state.lower()}" for state in sorted(set(states))]
        return f"{len(states)} trials" + (f": {', '.join(counts)}" if counts else "")

    def __str__(self):
        lines = [self.summary()]
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
            **{name: hp.values[name] for name in names if name in hp.values},
            # Hyperband's own, which say how long a trial was.
            **{name: value for name, value in hp.values.items() if name.startswith("tuner/")},
        },
        "error": trial.message,
    }


def _last_line(message):
    return message.strip().splitlines()[-1] if message else ""


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else value
