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
import collections
import functools
import pathlib
import tempfile

import keras
import numpy as np
import tensorflow as tf
from measuring import in_own_process, in_turns, peak_memory, speeds_in_turns
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


def contestants(directory, index, image_size, batch_size):
    """Datasets by name."""
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


def measure_memory(directory, image_size, batch_size, share):
    """Print the megabytes of this process, which reads a share of the images."""
    index = kd.datasets.ImageIndex.from_directory(directory)
    index = index.subset(share, seed=0)
    for _ in kd.datasets.classification_dataset(index, image_size, batch_size):
        pass
    print(peak_memory())


def compare(directory, image_size, batch_size, rounds):
    index = kd.datasets.ImageIndex.from_directory(directory)
    datasets = contestants(directory, index, image_size, batch_size)
    # Warming up fills the caches too.
    reads = {
        name: functools.partial(collections.deque, dataset, maxlen=0)
        for name, dataset in datasets.items()
    }
    speeds = speeds_in_turns(reads, len(index), rounds)
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
    child = [directory, "--image-size", image_size[0], "--batch-size", batch_size, "--child"]
    measures = {
        share: functools.partial(in_own_process, __file__, *child, share) for share in (1, 0.25)
    }
    all_images, quarter = in_turns(measures, min(rounds, 5)).values()
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
            write_images(made, 1000, [image_size])
        compare(arguments.directory or made, image_size, arguments.batch_size, arguments.rounds)


if __name__ == "__main__":
    main()
