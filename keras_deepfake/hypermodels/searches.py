"""Searches whose failures show."""

import contextlib
import os
import sys
import threading

from keras_deepfake._locks import FileLock
from keras_deepfake.hypermodels._resumption import make_resumable
from keras_deepfake.hypermodels._search_checks import (
    check_arguments,
    check_callbacks,
    check_project,
    check_tuner,
)
from keras_deepfake.hypermodels.search_results import SearchResults
from keras_deepfake.hypermodels.seeded_hyper_model import SeededHyperModel

# Set in the environment of the processes that `run_local_workers` starts.
LAUNCHED = "KERAS_DEEPFAKE_LAUNCHED"


def search(tuner, *args, **kwargs):
    """Run a KerasTuner search that cannot fail in silence and can be killed at any time.

    Before the first trial the arguments are checked: the objective must be a metric of the
    model, the data must fit it, pixel values must lie in [0, 1] (of a dataset those of the first
    batch), and the tuner's directory must be writable. After the last one the states of all
    trials and the error messages of those that failed are printed.

    A search that was killed goes on when the same tuner is made again, with the same seed and
    `overwrite=False` (its default), and given to this function. Finished trials are kept. With
    one worker and a seed that is not 0 (which KerasTuner takes for none) the trials are those
    of a search that was never interrupted; `BayesianOptimization` may propose others.

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
            or has the wrong direction, the data do not fit the model, a callback resumes
            trainings, the tuner's directory holds a search of another objective or space, or
            another process searches there.
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
    check_callbacks(kwargs.get("callbacks"))
    # What makes a tuner one of several processes is set in the environment.
    is_distributed = "KERASTUNER_ORACLE_IP" in os.environ
    is_chief = is_distributed and "chief" in os.environ["KERASTUNER_TUNER_ID"]
    is_worker = is_distributed and not is_chief
    is_launched = LAUNCHED in os.environ
    if is_launched:
        _end_with_the_launcher()
    is_part = is_launched or is_worker
    with contextlib.nullcontext() if is_part else FileLock(lock_path(tuner)):
        if not is_worker:
            check_project(tuner)
        if isinstance(tuner.hypermodel, SeededHyperModel) and not is_chief:
            check_arguments(tuner, args, kwargs)
        if not is_worker:
            make_resumable(tuner)
        try:
            tuner.search(*args, **kwargs)
        finally:
            if not is_part:
                results = SearchResults(tuner)
                print(results)
    if is_part:
        return None
    results.raise_if_none_completed()
    return results


def lock_path(tuner):
    """The file that stands for the right to search in a tuner's project directory."""
    return os.path.join(tuner.project_dir, ".lock")


def _end_with_the_launcher():
    """End this process when the one that started it is gone, however it ended."""

    def wait():
        # Not `sys.stdin.read`, whose lock the interpreter would wait for when it ends.
        os.read(sys.stdin.fileno(), 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
