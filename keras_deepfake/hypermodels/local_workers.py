"""A distributed search with all its processes on this machine."""

import json
import os
import pathlib
import socket
import subprocess
import time

from keras_deepfake._arguments import check_integer
from keras_deepfake._locks import FileLock
from keras_deepfake.hypermodels._search_checks import check_tuner
from keras_deepfake.hypermodels.search_results import SearchResults
from keras_deepfake.hypermodels.searches import LAUNCHED, lock_path

POLL_SECONDS = 0.5
# A worker that dies more often than this has an error that starting it again does not mend.
MAX_RESTARTS = 3
MOST_WORKERS = 1000


def run_local_workers(tuner, num_workers, command):
    """Run a script as the chief and the workers of a distributed KerasTuner search.

    The script makes a tuner like `tuner` and calls `kd.hypermodels.search`, which ends in
    `None`. Nothing in it differs between chief and workers: KerasTuner tells them apart by the
    environment that is set here, and they talk over the loopback interface. What they print
    goes to `chief.log`, `worker0.log`, … in the tuner's project directory; this process prints
    the progress of all.

    A worker that dies is started again under its own tuner id: it gets its trial back, and no
    other trial is lost. A search that was killed goes on when it is started again, with any
    number of workers or with `kd.hypermodels.search` alone: finished trials are kept. However this
    process ends, its workers end with it, once they have called `kd.hypermodels.search`.

    Args:
        tuner: A `keras_tuner.Tuner`, which has the trials after the search.
        num_workers: Integer of 1 or more.
        command: List of strings, the script and its arguments.

    Returns:
        `SearchResults`.

    Raises:
        ValueError: If `tuner` is no tuner, `num_workers` is below 1, `command` is no list, or
            another process searches in the tuner's directory.
        OSError: If the tuner's directory is not writable.
        RuntimeError: If the chief dies, a worker dies more than three times, or no trial was
            completed; the message ends in the last lines of the log. Also if `command` calls
            this function again, without end.

    Example:
        ```python
        import keras_tuner

        hypermodel = kd.hypermodels.HyperConvAutoencoder((16, 16, 3))
        tuner = keras_tuner.RandomSearch(hypermodel, keras_tuner.Objective("val_loss", "min"))
        try:
            kd.hypermodels.run_local_workers(tuner, 2, ["python", "-c", "there is no script"])
        except RuntimeError as error:
            print(error)  # The chief of the search died; …
        ```
    """
    if LAUNCHED in os.environ:
        raise RuntimeError(
            "This process was started by `run_local_workers` and must not call it again. Call "
            "`kd.hypermodels.search` in it."
        )
    check_tuner(tuner)
    num_workers = check_integer("num_workers", num_workers, 1, MOST_WORKERS)
    if not isinstance(command, (list, tuple)) or not all(isinstance(w, str) for w in command):
        raise ValueError(f"`command` must be a list of strings; got {command!r}.")
    with FileLock(lock_path(tuner)):
        results = _run(tuner, num_workers, command)
    results.raise_if_none_completed()
    return results


def _run(tuner, num_workers, command):
    project_dir = pathlib.Path(tuner.project_dir)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        environment = {
            **os.environ,
            LAUNCHED: "1",
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(probe.getsockname()[1]),
            "no_grpc_proxy": "127.0.0.1",
        }

    def start(name):
        with open(project_dir / f"{name}.log", "ab") as log:
            # Its input ends with this process, which is how it learns of that.
            return subprocess.Popen(
                command,
                env={**environment, "KERASTUNER_TUNER_ID": name},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    workers = [f"worker{i}" for i in range(num_workers)]
    restarts = dict.fromkeys(workers, 0)
    processes, shown = {}, None
    try:
        for name in ("chief", *workers):
            processes[name] = start(name)
        # A chief that ended well has no trial left, even for a worker that comes late.
        while processes["chief"].poll() != 0 and any(processes[w].poll() != 0 for w in workers):
            for name, process in processes.items():
                if process.poll() not in (None, 0):
                    if name == "chief" or restarts[name] == MAX_RESTARTS:
                        raise RuntimeError(_death(name, project_dir))
                    restarts[name] += 1
                    process.stdin.close()
                    print(f"{name} died; starting it again.", flush=True)
                    processes[name] = start(name)
            if (progress := _progress(tuner)) != shown:
                shown = progress
                print(progress, flush=True)
            time.sleep(POLL_SECONDS)
    finally:
        # What is on disk is complete at any moment.
        for process in processes.values():
            process.kill()
        for process in processes.values():
            process.wait()
            process.stdin.close()
        if (project_dir / "oracle.json").exists():
            tuner.oracle.reload()
        results = SearchResults(tuner)
        print(results)
    return results


def _progress(tuner):
    trials = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in pathlib.Path(tuner.project_dir).glob("trial_*/trial.json")
    ]
    if not trials:
        return "Starting the processes …"
    objective = tuner.oracle.objective
    states = [trial["status"].lower() for trial in trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    scores = [trial["score"] for trial in trials if trial["score"] is not None]
    best = max if objective.direction == "max" else min
    return f"Trials: {counts}" + (f"; best {objective.name} {best(scores):.4f}" if scores else "")


def _death(name, project_dir):
    log = project_dir / f"{name}.log"
    end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    return f"The {name} of the search died; see {str(log)!r}. It ends in:\n{end}"
