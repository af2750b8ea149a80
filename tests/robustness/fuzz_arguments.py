"""Call every public name with wrong arguments, one at a time, and say how each is refused.

`python -m tests.robustness.fuzz_arguments [--share 0.2] [--folder layers] [--show nameless]`
"""

import argparse
import collections
import dataclasses
import inspect
import json
import math
import os
import pathlib
import queue
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import traceback

import numpy as np

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = str(ROOT / "keras_deepfake")
# What Python can interrupt ends after the first, what it cannot after the second.
SECONDS_PER_CALL, SECONDS_UNTIL_KILLED = 10, 30
# Reserving room for a billion values shall fail here, not fill the machine.
MOST_BYTES = 12 * 2**30


@dataclasses.dataclass
class Call:
    """A function or class, its valid arguments, and what is done with the result."""

    function: object
    arguments: dict
    use: object = None
    # Arguments that the signature hides behind `**kwargs`, and those that are not replaced.
    hidden: tuple = ()
    left: tuple = ()
    # The message in which the valid call ends, where all it would do takes too long.
    ends_in: str | None = None

    def names(self):
        parameters = inspect.signature(self.function).parameters.values()
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        names = [parameter.name for parameter in parameters if parameter.kind not in kinds]
        return [name for name in (*names, *self.hidden) if name not in self.left]


def wrong_values():
    """Labels and makers of values that are wrong for nearly every argument."""
    return {
        "none": lambda: None,
        "nan": lambda: math.nan,
        "inf": lambda: math.inf,
        "negative": lambda: -1,
        "zero": lambda: 0,
        "billion": lambda: 10**9,
        "fraction": lambda: 1.5,
        "true": lambda: True,
        "text": lambda: "x",
        "empty_text": lambda: "",
        "bytes": lambda: b"x",
        "list": list,
        "dict": dict,
        "set": set,
        "object": object,
        "function": lambda: lambda *args: None,
        "class": lambda: int,
        "path": lambda: pathlib.Path("missing"),
        "none_list": lambda: [None],
        "mixed_list": lambda: ["x", 3],
        "numbers": lambda: (1, 2, 3),
        "nan_pair": lambda: (math.nan, math.nan),
        "reversed_pair": lambda: (5, -1),
        "numpy_integer": lambda: np.int64(-3),
        "empty_array": lambda: np.zeros((0,)),
        "nan_array": lambda: np.full((2, 32, 32, 3), np.nan),
        "high_rank": lambda: np.zeros((1, 1, 1, 1, 1, 1)),
        "text_array": lambda: np.array(["x", "y"]),
    }


def fuzz(share=1.0, folder="", seed=0):
    """Run the calls in a process of their own, which is started anew when one hangs or kills it.

    Args:
        share: Float in (0, 1], of all combinations of call, argument and value.
        folder: Prefix of the names that are called.
        seed: Integer, of the combinations.

    Returns:
        List of dictionaries: `call`, `argument`, `value`, `outcome`, `message`.
    """
    results, start = [], 0
    while True:
        with tempfile.TemporaryDirectory() as directory:
            finished, last = _run_worker(directory, share, folder, seed, start, results)
        if finished:
            return results
        if last is None:
            raise RuntimeError("The process ended before its first call.")
        place, combination, killed = last
        outcome = "hang" if killed else "ended the process"
        results.append({**combination, "outcome": outcome, "message": ""})
        start = place + 1


def _run_worker(directory, share, folder, seed, start, results):
    arguments = [str(x) for x in (share, folder or "-", seed, start)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    errors = pathlib.Path(directory, "errors")
    with open(errors, "w") as file:
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.robustness.fuzz_arguments", "--worker", *arguments],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
    lines = queue.Queue()

    def read():
        for line in worker.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    last, killed = None, False
    while True:
        try:
            # The first call waits for the imports and the models.
            line = lines.get(timeout=SECONDS_UNTIL_KILLED if last else 300)
        except queue.Empty:
            killed = True
            worker.kill()
            line = None
        if line is None:
            break
        entry = json.loads(line)
        if "done" in entry:
            worker.wait()
            return True, None
        if "outcome" in entry:
            results.append(entry)
        else:
            last = (entry.pop("place"), entry)
    worker.wait()
    if last is None:
        print(errors.read_text()[-3000:], file=sys.stderr)
        return False, None
    return False, (*last, killed)


def _combinations(calls, share, folder, seed):
    combinations = [
        (name, argument, value)
        for name, call in sorted(calls.items())
        if name.startswith(folder)
        for argument in call.names()
        for value in wrong_values()
    ]
    chosen = random.Random(seed).sample(combinations, round(share * len(combinations)))
    return sorted(chosen)


def _work(share, folder, seed, start):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    # What the library or the backends print goes to the errors.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def write(entry):
        output.write(json.dumps(entry) + "\n")
        output.flush()

    from tests.robustness.argument_calls import valid_calls

    values = wrong_values()
    calls = valid_calls()
    for place, combination in enumerate(_combinations(calls, share, folder, seed)):
        if place < start:
            continue
        name, argument, value = combination
        entry = {"call": name, "argument": argument, "value": value}
        write({"place": place, **entry})
        outcome, message = _outcome(calls[name], argument, values[value]())
        write({**entry, "outcome": outcome, "message": message})
    write({"done": True})
    output.flush()
    # Threads that a call has left behind do not matter.
    os._exit(0)


class _OutOfTime(BaseException):
    pass


def _outcome(call, argument, value):
    def interrupt(*_):
        raise _OutOfTime

    signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(SECONDS_PER_CALL)
    try:
        result = call.function(**{**call.arguments, argument: value})
        if call.use is not None:
            result = call.use(result)
    except _OutOfTime:
        return "hang", traceback.format_exc(limit=-3)
    except BaseException as error:
        if call.ends_in is not None and re.search(call.ends_in, str(error)):
            return "accepted", ""
        return _kind(error, argument), f"{type(error).__name__}: {str(error)[:300]}"
    finally:
        signal.alarm(0)
        _close_figures()
    return ("accepted", "") if _is_finite(result) else ("not finite", "")


def _kind(error, argument):
    text = str(error)
    if isinstance(error, ValueError) and re.search(rf"`[^`]*\b{argument}\b[^`]*`", text):
        return "named"
    # A file that is not there is told by its path.
    if isinstance(error, OSError) and error.filename is not None:
        return "named"
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    if not last.startswith(PACKAGE):
        return "obscure"
    return "nameless" if isinstance(error, (ValueError, RuntimeError)) else "bare"


def _is_finite(result):
    import keras

    for part in keras.tree.flatten(result):
        if isinstance(part, float) or keras.ops.is_tensor(part) or isinstance(part, np.ndarray):
            values = np.asarray(keras.ops.convert_to_numpy(part))
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                return False
    return True


def _close_figures():
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def _main():
    if sys.argv[1:2] == ["--worker"]:
        share, folder, seed, start = sys.argv[2:]
        _work(float(share), folder.strip("-"), int(seed), int(start))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--folder", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", nargs="*", default=[], help="outcomes to list")
    options = parser.parse_args()
    results = fuzz(options.share, options.folder, options.seed)
    outcomes = sorted({result["outcome"] for result in results})
    folders = sorted({result["call"].partition(".")[0] for result in results})
    print(f"{'':14}", *(f"{outcome:>18}" for outcome in outcomes))
    for name in [*folders, ""]:
        chosen = [r["outcome"] for r in results if r["call"].startswith(name)]
        counts = collections.Counter(chosen)
        print(f"{name or 'all':14}", *(f"{counts[outcome]:18}" for outcome in outcomes))
    for result in results:
        if result["outcome"] in options.show:
            print(*(result[key] for key in ("outcome", "call", "argument", "value")), sep="  ")
            print("    ", result["message"][:200])


if __name__ == "__main__":
    _main()
