"""Searches that can be killed at any time."""

import functools
import json
import os

from keras_deepfake._files import atomic_write


def make_resumable(tuner):
    """Make what KerasTuner writes complete at any moment, and its state reloadable.

    KerasTuner has no public names for this; CONTRIBUTING lists those that are used here.
    """
    oracle = tuner.oracle
    oracle_file = os.path.join(tuner.project_dir, "oracle.json")
    # KerasTuner itself reloads a search only where the file of this very process is, and writes
    # that after its first trial.
    if os.path.exists(oracle_file):
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
        _restore_grid(oracle)

    def save_trial(trial):
        _write_json(os.path.join(tuner.get_trial_dir(trial.trial_id), "trial.json"), trial)

    def save():
        oracle.save()
        _write_json(os.path.join(tuner.project_dir, f"{tuner.tuner_id}.json"), tuner)

    oracle._save_trial = save_trial
    oracle.save = lambda: _write_json(oracle_file, oracle)
    tuner.save = save
    random_state = getattr(oracle, "_random_state", None)
    if random_state is not None:
        # That of Bayesian optimization is not among what is saved.
        create_trial = oracle.create_trial

        def create_reproducible_trial(tuner_id):
            random_state.seed((oracle.seed + len(oracle.trials)) % 2**32)
            return create_trial(tuner_id)

        oracle.create_trial = create_reproducible_trial


def _restore_grid(oracle):
    # Where a grid search stands is not saved; it follows from the trials there were.
    oracle._ordered_ids, previous = type(oracle._ordered_ids)(), None
    values = {name: trial.hyperparameters.values for name, trial in oracle.trials.items()}
    compare = functools.cmp_to_key(lambda a, b: oracle._compare(values[a], values[b]))
    for trial_id in sorted(values, key=compare):
        oracle._ordered_ids.insert(trial_id, previous)
        previous = trial_id
    oracle._populate_next = list(oracle.end_order)


def _write_json(path, stateful):
    with atomic_write(path) as file:
        json.dump(stateful.get_state(), file)
