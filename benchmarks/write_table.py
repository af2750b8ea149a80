"""Runs every benchmark that prints a table of ratios, and writes docs/benchmarks.md.

Each script runs in a process of its own, one after the other. Of what it prints, the lines of
its table are kept. Nothing is written if one fails. Of the page that was there, what is said about
the tables behind them stays. Use a machine that does nothing else.
"""

import argparse
import ast
import os
import pathlib
import platform
import subprocess
import sys
import time
from importlib.metadata import version

FOLDER = pathlib.Path(__file__).parent
HEADER = "| ratio |"
REMARKS = "## What they say\n"
PEERS = ("keras", "tensorflow", "torch", "numpy")


def table_of(script):
    """The table that a script prints, and the minutes that it took."""
    print(f"== {script.name}", file=sys.stderr, flush=True)
    start = time.perf_counter()
    output = subprocess.run(
        [sys.executable, script],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(FOLDER.parent)},
    ).stdout
    lines = [line for line in output.splitlines() if line.startswith("|")]
    if not any(line.endswith(HEADER) for line in lines):
        raise ValueError(f"{script.name} printed no table with a column `ratio`.")
    return lines, (time.perf_counter() - start) / 60


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "CPU")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "scripts", nargs="*", help="names such as memory.py, to print their tables only"
    )
    options = parser.parse_args()
    scripts = [
        path
        for path in sorted(FOLDER.glob("*.py"))
        if path.name != pathlib.Path(__file__).name
        and HEADER in path.read_text(encoding="utf-8")
        and path.name in (options.scripts or [path.name])
    ]
    sections = []
    for script in scripts:
        lines, minutes = table_of(script)
        summary = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))
        sections.append(
            f"## {summary.splitlines()[0].rstrip('.')}\n"
            f"`benchmarks/{script.name}`, {minutes:.0f} minutes.\n\n" + "\n".join(lines)
        )
    versions = ", ".join(f"{name} {version(name)}" for name in PEERS)
    text = (
        "# Benchmarks\n`make benchmark` writes this page. Both sides of a ratio took turns in one "
        "run, and each figure is a median; see the scripts for what is compared.\n\n"
        f"{processor()}, {os.cpu_count()} cores; {versions}; "
        f"{os.environ.get('KERAS_BACKEND', 'tensorflow')} backend.\n\n"
    )
    if options.scripts:
        print(text + "\n\n".join(sections))
        return
    path = FOLDER.parent / "docs" / "benchmarks.md"
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    remarks = "".join(before.partition(REMARKS)[1:])
    path.write_text(text + "\n\n".join([*sections, remarks]), encoding="utf-8")
    print(f"{path} holds the tables of {len(scripts)} scripts.")


if __name__ == "__main__":
    main()
