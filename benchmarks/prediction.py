"""Images a second of `predict_images` and `evaluate_detector` next to Keras's own way.

The peer reads with `keras.utils.image_dataset_from_directory` and runs `model.predict`: once with
the resizing of its default, which leaves out pixels, and once antialiased, as ours always is and as
a detector needs it. Ours also checks every file, and returns rows with verdicts, or a report with
intervals of 1000 resamples. A few photographs of 9 megapixels are read in the same ways. Files of
many sizes go to a model of unknown sides, in their order and sorted by size beforehand. All take
turns, every other round in the other order.
"""

import argparse
import pathlib
import tempfile

import keras
import numpy as np
import tensorflow as tf
from input_pipeline import write_images
from measuring import speeds_in_turns

import keras_deepfake as kd


def make_detector(side):
    model = keras.Sequential(
        [
            keras.Input((side, side, 3)),
            kd.layers.ConvBlock(8),
            kd.layers.ConvBlock(16),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, "softmax"),
        ]
    )
    return kd.models.as_detector(model, class_names=("fake", "real"))


def contestants(directory, file_side, side, batch_size):
    detector = make_detector(side)
    index = kd.datasets.ImageIndex.from_directory(directory)

    def peer(read_side, convert):
        dataset = keras.utils.image_dataset_from_directory(
            directory,
            labels=None,
            image_size=(read_side, read_side),
            batch_size=batch_size,
            shuffle=False,
            verbose=False,
        )
        dataset = dataset.map(convert, num_parallel_calls=tf.data.AUTOTUNE)
        detector.members[0].predict(dataset.prefetch(tf.data.AUTOTUNE), verbose=0)

    def antialiased(images):
        return keras.ops.image.resize(images / 255.0, (side, side), antialias=True)

    peers = {
        "image_dataset_from_directory and predict": lambda: peer(side, lambda x: x / 255.0),
        "the same, antialiased": lambda: peer(file_side, antialiased),
    }
    ours = {
        "predict_images of a folder": lambda: kd.evaluation.predict_images(
            detector, directory, batch_size, verbose=0
        ),
        "predict_images of an index": lambda: kd.evaluation.predict_images(
            detector, index, batch_size, verbose=0
        ),
        "evaluate_detector of an index": lambda: kd.evaluation.evaluate_detector(
            detector, index, batch_size=batch_size
        ),
    }
    return peers, ours


def odd_sizes(directory, batch_size):
    """Two ways to predict the files of a folder, in the order of their names and of their sizes."""
    detector = make_detector(None)
    index = kd.datasets.ImageIndex.from_directory(directory)

    def by_size():
        order = np.lexsort(index.headers.T)
        return kd.evaluation.predict_images(detector, index.take(order), batch_size, verbose=0)

    return {"sorted by size": by_size}, {
        "predict_images of an index": lambda: kd.evaluation.predict_images(
            detector, index, batch_size, verbose=0
        )
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file-size", type=int, default=224, help="side of the files in pixels")
    parser.add_argument("--image-size", type=int, default=64, help="side of the model's input")
    parser.add_argument("--images", type=int, default=400, help="in each of two folders")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    side, batch_size = arguments.image_size, arguments.batch_size
    odd = [(32 + 8 * i, 96 - 4 * i) for i in range(13)]
    groups = {
        f"files of {arguments.file_size} px": (
            arguments.images,
            [(arguments.file_size,) * 2],
            lambda files: contestants(files, arguments.file_size, side, batch_size),
        ),
        "photographs of 3000 px": (
            12,
            [(3000, 3000)],
            lambda files: contestants(files, 3000, side, batch_size),
        ),
        "files of odd sizes": (arguments.images, odd, lambda files: odd_sizes(files, batch_size)),
    }
    rows = []
    with tempfile.TemporaryDirectory() as made:
        for group, (count, sizes, make) in groups.items():
            files = pathlib.Path(made, group)
            write_images(files, count, sizes)
            peers, ours = make(files)
            speeds = speeds_in_turns({**peers, **ours}, 2 * count, arguments.rounds)
            rows += [
                f"| {group}: {one}, {peer} | {speeds[one]:.0f} | {speeds[peer]:.0f} "
                f"| {speeds[one] / speeds[peer]:.2f} |"
                for one in ours
                for peer in peers
            ]
    print(f"| images a second, model of {side} px | ours | the alternative named | ratio |")
    print("|---|---|---|---|", *rows, sep="\n")


if __name__ == "__main__":
    main()
