"""Milliseconds a batch of an exported detector next to `scores` of the same detector.

Both get the same uint8 images of the detector's size and give P(fake). All take turns, every other
round in the other order.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np
from prediction import make_detector

import keras_deepfake as kd
from keras_deepfake.export._runtimes import litert_runtime, onnx_runtime

RUNTIMES = {
    "onnxruntime": ("onnx", "detector.onnx", onnx_runtime),
    "LiteRT": ("litert", "detector.tflite", litert_runtime),
}


def milliseconds(runs, images, rounds, repeats):
    """The median of each function of images, all in turns."""
    found = {name: [] for name in runs}
    for turn in range(rounds + 1):
        # The first round only warms up.
        for name in list(runs)[:: 1 if turn % 2 else -1]:
            start = time.perf_counter()
            for _ in range(repeats):
                runs[name](images)
            if turn:
                found[name].append((time.perf_counter() - start) * 1000 / repeats)
    return {name: statistics.median(values) for name, values in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=224, help="side in pixels")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--repeats", type=int, default=10, help="batches in a round")
    options = parser.parse_args()
    side = options.image_size
    detector = make_detector(side)
    rng = np.random.default_rng(0)
    rows = []
    with tempfile.TemporaryDirectory() as made:
        runs = {"scores": detector.scores}
        for name, (kind, file, runtime) in RUNTIMES.items():
            path = pathlib.Path(made, file)
            kd.export.export_detector(detector, path, format=kind)
            runs[name] = runtime(path)
        for size in options.batch_sizes:
            images = rng.integers(0, 256, (size, side, side, 3)).astype("uint8")
            found = milliseconds(runs, images, options.rounds, options.repeats)
            print(f"batches of {size}: {found}", file=sys.stderr)
            rows += [
                f"| {name}, batch {size} | {found[name]:.2f} ms | {found['scores']:.2f} ms "
                f"| {found['scores'] / found[name]:.2f} |"
                for name in RUNTIMES
            ]
    print(
        f"| milliseconds a batch, {side} px | exported | `Detector.scores` | ratio |\n"
        "|---|---|---|---|"
    )
    print("\n".join(rows))


if __name__ == "__main__":
    main()
