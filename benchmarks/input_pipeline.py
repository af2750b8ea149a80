"""Images a second of `classification_dataset` next to Keras's own loader.

Both decode the same files, give float32 in [0, 1] with one-hot labels in batches, and prefetch;
both know the list of files beforehand. They take turns, so that whatever else the machine does
hits both alike. The peer is `keras.utils.image_dataset_from_directory` with the rescaling and
prefetching that its documentation adds. Where images have another size than asked for, ours
antialiases and the peer does not; at their own size neither resizes.
"""

import argparse
import pathlib
import statistics
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

import keras_deepfake as kd


def write_images(directory, count, sizes):
    """Files in `fake/` and `real/`, `count` in each, of the sizes in turn."""
    rng = np.random.default_rng(0)
    for name in ("fake", "real"):
        folder = pathlib.Path(directory, name)
        folder.mkdir(parents=True)
        for i in range(count):
            height, width = sizes[i % len(sizes)]
            # Smooth and a little noisy, as photographs are: about as many bytes to decode.
            coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3)).astype("uint8"))
            smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
            noisy = smooth + rng.normal(0, 6, smooth.shape)
            Image.fromarray(noisy.clip(0, 255).astype("uint8")).save(
                folder / f"{i}.jpg", quality=75
            )


def images_a_second(dataset):
    """Returns images a second, and images a second of processor time."""
    start, start_cpu = time.perf_counter(), time.process_time()
    count = sum(len(x) for x, _ in dataset)
    return count / (time.perf_counter() - start), count / (time.process_time() - start_cpu)


def compare(directory, image_size, batch_size, rounds):
    index = kd.datasets.ImageIndex.from_directory(directory)
    peer = keras.utils.image_dataset_from_directory(
        directory,
        label_mode="categorical",
        class_names=list(index.class_names),
        image_size=image_size,
        batch_size=batch_size,
        shuffle=False,
        verbose=False,
    )
    contestants = {
        "image_dataset_from_directory": peer.map(
            lambda x, y: (x / 255.0, y), num_parallel_calls=tf.data.AUTOTUNE
        ).prefetch(tf.data.AUTOTUNE),
        "classification_dataset": kd.datasets.classification_dataset(index, image_size, batch_size),
    }
    print(f"{index} at {image_size}, batches of {batch_size}, {rounds} rounds")
    speeds = {name: [] for name in contestants}
    progress = keras.utils.Progbar(rounds + 1)
    for turn in range(rounds + 1):
        # Every other round in the other order; the first one only warms up.
        for name in list(contestants)[:: 1 if turn % 2 else -1]:
            speed = images_a_second(contestants[name])
            if turn:
                speeds[name].append(speed)
        progress.update(turn + 1)
    # Processor time tells what an image costs, also on a machine that is busy with other work.
    for unit, clock in (("second", 0), ("processor second", 1)):
        medians, rounds = [], []
        for name, pairs in speeds.items():
            values = [pair[clock] for pair in pairs]
            rounds.append(values)
            medians.append(statistics.median(values))
            print(
                f"{name:30s} {medians[-1]:6.0f} images a {unit} "
                f"({min(values):.0f} to {max(values):.0f})"
            )
        ratios = [ours / peer for peer, ours in zip(*rounds, strict=True)]
        print(
            f"{'ratio of the medians':30s} {medians[1] / medians[0]:6.2f} "
            f"(single rounds {min(ratios):.2f} to {max(ratios):.2f})"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "directory", nargs="?", help="folder with fake/ and real/; made of noise by default"
    )
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    image_size = (arguments.image_size, arguments.image_size)
    with tempfile.TemporaryDirectory() as made:
        if arguments.directory is None:
            write_images(made, 400, [image_size])
        compare(arguments.directory or made, image_size, arguments.batch_size, arguments.rounds)


if __name__ == "__main__":
    main()
