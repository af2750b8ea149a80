"""Peak memory and time of a training step in micro-batches, next to the same step at once.

Each measurement is a process of its own, which trains the study's autoencoder for one batch to
warm up and then for others. Its memory is the largest resident size that it ever had, all of
Python and Keras included. The processes take turns.
"""

import argparse
import functools
import json
import statistics
import time

from measuring import in_own_process, in_turns, peak_memory


def measure(options):
    """Print the peak memory in GB and the seconds of a training step."""
    import keras
    import numpy as np

    import keras_deepfake as kd

    keras.utils.set_random_seed(0)
    shape = (options.size, options.size, 3)
    images = np.random.default_rng(0).random((options.batch_size, *shape), "float32")
    model = kd.models.ConvAutoencoder(shape)
    model.compile(micro_batch_size=options.child or None)
    seconds = []
    for _ in range(options.steps + 1):
        start = time.perf_counter()
        model.train_on_batch(images, images)
        seconds.append(time.perf_counter() - start)
    print(json.dumps([peak_memory() / 2**10, statistics.median(seconds[1:])]))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="image side in pixels")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--micro-batch-sizes", type=int, nargs="+", default=[16], metavar="N")
    parser.add_argument("--steps", type=int, default=1, help="steps that a process measures")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child is not None:
        measure(options)
        return

    child = ["--size", options.size, "--batch-size", options.batch_size, "--steps", options.steps]
    measures = {
        size: functools.partial(in_own_process, __file__, "--child", size, *child)
        for size in (0, *options.micro_batch_sizes)
    }
    medians = in_turns(measures, options.rounds)
    print(
        f"| training step, batch {options.batch_size}, {options.size} px | in micro-batches "
        "| the batch at once | ratio |\n|---|---|---|---|"
    )
    whole_memory, whole_time = medians.pop(0)
    for size, (memory, seconds) in medians.items():
        print(
            f"| peak memory, micro-batches of {size} | {memory:.2f} GB | {whole_memory:.2f} GB "
            f"| {memory / whole_memory:.2f} |\n"
            f"| time, micro-batches of {size} | {seconds:.2f} s | {whole_time:.2f} s "
            f"| {seconds / whole_time:.2f} |"
        )


if __name__ == "__main__":
    main()
