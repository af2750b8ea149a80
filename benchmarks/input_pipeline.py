"""Images a second of `classification_dataset` next to Keras's own loader, and its memory.

Both decode the same files, give float32 in [0, 1] with one-hot labels in batches, and prefetch;
both know the list of files beforehand. They take turns, so that whatever else the machine does
hits both alike. The peer is `keras.utils.image_dataset_from_directory` with the rescaling and
prefetching that its documentation adds. Where images have another size than asked for, ours
antialiases and the peer does not; at their own size neither resizes. Later epochs are those of
`cache="memory"`; the peer has its `.cache()` only in the second row of them. The memory is the peak
of a process of its own that reads all images, and its peer is the same for a quarter of them.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf
from peak_memory import peak_memory
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
    start = time.perf_counter()
    count = sum(len(x) for x, _ in dataset)
    return count / (time.perf_counter() - start)


def contestants(directory, image_size, batch_size):
    """Datasets by name; those that keep their images have been read once."""
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

    def scaled(dataset):
        return dataset.map(
            lambda x, y: (x / 255.0, y), num_parallel_calls=tf.data.AUTOTUNE
        ).prefetch(tf.data.AUTOTUNE)

    def ours(cache=None):
        return kd.datasets.classification_dataset(index, image_size, batch_size, cache=cache)

    return {
        "ours": ours(),
        "ours, kept": ours("memory"),
        "image_dataset_from_directory": scaled(peer),
        "image_dataset_from_directory, .cache()": scaled(peer.cache()),
    }


def memory_of(directory, image_size, batch_size, share):
    """Megabytes of a process that reads a share of the images."""
    command = [sys.executable, __file__, directory, "--child", str(share)]
    command += ["--image-size", str(image_size[0]), "--batch-size", str(batch_size)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(output.splitlines()[-1])


def measure_memory(directory, image_size, batch_size, share):
    index = kd.datasets.ImageIndex.from_directory(directory)
    index = index.subset(share, seed=0)
    for _ in kd.datasets.classification_dataset(index, image_size, batch_size):
        pass
    print(peak_memory())


def compare(directory, image_size, batch_size, rounds):
    datasets = contestants(directory, image_size, batch_size)
    speeds = {name: [] for name in datasets}
    for turn in range(rounds + 1):
        # Every other round in the other order; the first one only warms up, and fills the caches.
        for name in list(datasets)[:: 1 if turn % 2 else -1]:
            speed = images_a_second(datasets[name])
            if turn:
                speeds[name].append(speed)
        print(f"round {turn} of {rounds}", file=sys.stderr)
    speeds = {name: statistics.median(values) for name, values in speeds.items()}
    print(
        f"| images a second of {image_size[0]} px, batches of {batch_size} | ours "
        "| the alternative named | ratio |\n|---|---|---|---|"
    )
    for label, ours, peer in (
        ("first epoch", "ours", "image_dataset_from_directory"),
        ("later epochs, kept in memory", "ours, kept", "image_dataset_from_directory"),
        ("later epochs, kept in memory", "ours, kept", "image_dataset_from_directory, .cache()"),
    ):
        ratio = speeds[ours] / speeds[peer]
        print(f"| {label}; {peer} | {speeds[ours]:.0f} | {speeds[peer]:.0f} | {ratio:.2f} |")
    peaks = {1: [], 0.25: []}
    for _ in range(min(rounds, 5)):
        for share, values in peaks.items():
            values.append(memory_of(directory, image_size, batch_size, share))
    all_images, quarter = map(statistics.median, peaks.values())
    print(
        f"| peak memory; a quarter of the images | {all_images:.0f} MB | {quarter:.0f} MB "
        f"| {all_images / quarter:.2f} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "directory", nargs="?", help="folder with fake/ and real/; made of noise by default"
    )
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    image_size = (arguments.image_size, arguments.image_size)
    if arguments.child:
        measure_memory(arguments.directory, image_size, arguments.batch_size, arguments.child)
        return
    with tempfile.TemporaryDirectory() as made:
        if arguments.directory is None:
            write_images(made, 400, [image_size])
        compare(arguments.directory or made, image_size, arguments.batch_size, arguments.rounds)


if __name__ == "__main__":
    main()
