"""Seconds and memory that an `ImageIndex` takes for more and more files.

The files are copies of one small JPEG. Each measurement is a process of its own; the sizes take
turns. Linear is a ratio of 1 to ten times the time of a tenth of the files.
"""

import argparse
import functools
import io
import itertools
import json
import pathlib
import tempfile
import time

import numpy as np
from measuring import in_own_process, in_turns, peak_memory
from PIL import Image

import keras_deepfake as kd


def measure(directory):
    """Print the seconds, and the megabytes beyond those of Python and its libraries."""
    read = kd.datasets.ImageIndex.from_directory  # which loads what it needs
    before = peak_memory()
    start = time.perf_counter()
    read(directory)
    seconds = time.perf_counter() - start
    peak = peak_memory()
    print(json.dumps([seconds, peak - before]))


def write_copies(directory, count):
    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype("uint8")
    Image.fromarray(pixels).save(content, "JPEG")
    for name in ("fake", "real"):
        folder = directory / name
        folder.mkdir(parents=True)
        for i in range(count // 2):
            (folder / f"{i}.jpg").write_bytes(content.getvalue())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure(options.child)
        return
    with tempfile.TemporaryDirectory() as made:
        for count in options.files:
            write_copies(pathlib.Path(made, str(count)), count)
        measures = {
            count: functools.partial(in_own_process, __file__, "--child", f"{made}/{count}")
            for count in options.files
        }
        medians = in_turns(measures, options.rounds)
    print("| an index of files | ours | in proportion to fewer | ratio |\n|---|---|---|---|")
    for fewer, count in itertools.pairwise(options.files):
        seconds, memory = medians[count]
        expected = medians[fewer][0] * count / fewer
        print(
            f"| {count} files, {memory:.0f} MB more memory | {seconds:.1f} s | {expected:.1f} s "
            f"| {expected / seconds:.2f} |"
        )


if __name__ == "__main__":
    main()
