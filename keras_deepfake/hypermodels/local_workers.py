"""A distributed search with all its processes on this machine."""

import json
import os
import pathlib
import socket
import subprocess
import time

POLL_SECONDS = 0.5
# A worker that dies more often than this has an error that starting it again does not mend.
MAX_RESTARTS = 3


def run_local_workers(command, num_workers, project_dir):
    """Run a script as the chief and the workers of a distributed KerasTuner search.

    The script makes a tuner and calls `kd.hypermodels.search`; nothing in it differs between
    chief and workers, which KerasTuner tells apart by the environment that is set here. They
    talk over the loopback interface. Progress is printed from here only; what each process
    prints goes to a log in `project_dir`.

    A worker that dies is started again under its own tuner id: it gets its trial back, and no
    other trial is lost. Start the same search again after this process was killed: finished
    trials are kept.

    Args:
        command: List of strings, the script and its arguments.
        num_workers: Integer of 1 or more.
        project_dir: Folder of the tuner, `<directory>/<project_name>`.

    Raises:
        ValueError: If `num_workers` is below 1.
        RuntimeError: If the chief dies, or a worker dies more than three times. The message
            ends in the last lines of its log.

    Example:
        ```python
        try:
            kd.hypermodels.run_local_workers(["python", "tune.py"], 0, "search/trials")
        except ValueError as error:
            print(error)
        ```
    """
    if num_workers < 1:
        raise ValueError(f"`num_workers` must be 1 or more; got {num_workers}.")
    project_dir = pathlib.Path(project_dir)
    project_dir.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    def start(name):
        environment = {
            **os.environ,
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(port),
        }
        with open(project_dir / f"{name}.log", "a") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    names = [f"worker{i}" for i in range(num_workers)]
    processes = {}
    restarts = dict.fromkeys(names, 0)
    shown = None
    try:
        for name in ("chief", *names):
            processes[name] = start(name)
        while any(processes[name].poll() != 0 for name in names):
            time.sleep(POLL_SECONDS)
            progress = _progress(project_dir)
            if progress != shown:
                print(progress, flush=True)
                shown = progress
            if processes["chief"].poll() not in (None, 0):
                raise RuntimeError(_death("chief", project_dir))
            for name in names:
                if processes[name].poll() not in (None, 0):
                    if restarts[name] == MAX_RESTARTS:
                        raise RuntimeError(_death(name, project_dir))
                    restarts[name] += 1
                    print(f"{name} died; starting it again", flush=True)
                    processes[name] = start(name)
        print(_progress(project_dir), flush=True)
    finally:
        # The chief has saved every trial that ended, and would wait up to 20 seconds.
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait()


def _progress(project_dir):
    states = []
    for path in project_dir.glob("trial_*/trial.json"):
        states.append(json.loads(path.read_text())["status"])
    counts = (f"{states.count(state)} {state.lower()}" for state in sorted(set(states)))
    return f"{len(states)} trials: {', '.join(counts)}" if states else "Starting …"


def _death(name, project_dir):
    log = project_dir / f"{name}.log"
    end = "\n".join(log.read_text().splitlines()[-15:])
    return f"The {name} of the search died; see {str(log)!r}. It ends in:\n{end}"
