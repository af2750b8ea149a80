"""Images a second of `predict_images` and `evaluate_detector` next to Keras's own way.

The peer reads with `keras.utils.image_dataset_from_directory` and runs `model.predict`. Ours also
checks every file, antialiases when it shrinks (the peer does not), and returns rows with verdicts,
or a report with intervals of 1000 resamples. All take turns, every other round in the other order.
"""

import argparse
import pathlib
import statistics
import tempfile
import time

import keras
import tensorflow as tf
from input_pipeline import write_images

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


def contestants(directory, side, batch_size):
    detector = make_detector(side)
    index = kd.datasets.ImageIndex.from_directory(directory)

    def peer():
        dataset = keras.utils.image_dataset_from_directory(
            directory,
            labels=None,
            image_size=(side, side),
            batch_size=batch_size,
            shuffle=False,
            verbose=False,
        )
        dataset = dataset.map(lambda x: x / 255.0, num_parallel_calls=tf.data.AUTOTUNE)
        detector.members[0].predict(dataset.prefetch(tf.data.AUTOTUNE), verbose=0)

    return peer, {
        "predict_images of a folder": lambda: kd.evaluation.predict_images(
            detector, directory, batch_size
        ),
        "predict_images of an index": lambda: kd.evaluation.predict_images(
            detector, index, batch_size
        ),
        "evaluate_detector of an index": lambda: kd.evaluation.evaluate_detector(
            detector, index, batch_size=batch_size
        ),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file-size", type=int, default=224, help="side of the files in pixels")
    parser.add_argument("--image-size", type=int, default=64, help="side of the model's input")
    parser.add_argument("--images", type=int, default=400, help="in each of two folders")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        directory = pathlib.Path(made)
        write_images(directory, arguments.images, (arguments.file_size,) * 2)
        peer, ours = contestants(made, arguments.image_size, arguments.batch_size)
        runs = {"peer": peer, **ours}
        speeds = {name: [] for name in runs}
        for turn in range(arguments.rounds + 1):
            # The first round only warms up.
            for name in list(runs)[:: 1 if turn % 2 else -1]:
                start = time.perf_counter()
                runs[name]()
                if turn:
                    speeds[name].append(2 * arguments.images / (time.perf_counter() - start))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    print(
        f"| images a second, files of {arguments.file_size} px, model of {arguments.image_size} px "
        "| ours | image_dataset_from_directory and predict | ratio |"
    )
    print("|---|---|---|---|")
    for name in ours:
        ratio = medians[name] / medians["peer"]
        print(f"| {name} | {medians[name]:.0f} | {medians['peer']:.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
