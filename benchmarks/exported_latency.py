"""Milliseconds a batch of an exported detector next to `scores` of the same detector.

Both get the same uint8 images of the detector's size and give P(fake). All take turns, every other
round in the other order.
"""

import argparse
import pathlib
import tempfile

import numpy as np
from measuring import seconds_in_turns
from prediction import make_detector

import keras_deepfake as kd
from keras_deepfake.export._formats import litert_runtime, onnx_runtime

RUNTIMES = {
    "onnxruntime": ("onnx", "detector.onnx", onnx_runtime),
    "LiteRT": ("litert", "detector.tflite", litert_runtime),
}


def milliseconds(runs, images, rounds, repeats):
    """The median of each function of images, all in turns."""

    def repeated(run):
        return lambda: [run(images) for _ in range(repeats)]

    seconds = seconds_in_turns({name: repeated(run) for name, run in runs.items()}, rounds)
    return {name: 1000 * median / repeats for name, median in seconds.items()}


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
