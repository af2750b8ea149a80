"""What benchmarks measure by: turns, processes of their own, and the most memory."""

import functools
import json
import pathlib
import re
import subprocess
import sys
import time

import numpy as np


def in_turns(measures, rounds):
    """Medians of the number or numbers that functions return, every other round in reverse.

    Args:
        measures: Dictionary from names to functions without arguments.
        rounds: Integer, how often each is called.
    """
    found = {name: [] for name in measures}
    for turn in range(rounds):
        for name in list(measures)[:: 1 if turn % 2 else -1]:
            found[name].append(measures[name]())
            print(f"round {turn + 1}, {name}: {found[name][-1]}", file=sys.stderr)
    return {name: np.median(values, axis=0) for name, values in found.items()}


def seconds_in_turns(runs, rounds):
    """Median seconds of functions, which are called once before to warm up."""
    for run in runs.values():
        run()
    return in_turns({name: functools.partial(seconds, run) for name, run in runs.items()}, rounds)


def speeds_in_turns(runs, count, rounds):
    """Images a second of functions that handle so many, by median seconds."""
    return {name: count / median for name, median in seconds_in_turns(runs, rounds).items()}


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def in_own_process(script, *arguments):
    """The numbers that a script prints as its last line, a JSON text."""
    command = [sys.executable, script, *map(str, arguments)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def peak_memory():
    """Megabytes since the program began; `ru_maxrss` would begin with those of its parent."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
