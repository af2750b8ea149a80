"""Ask a saved detector for its verdict on images and folders of images."""

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes on the hardware

import keras

import keras_deepfake as kd


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="The verdict is on whole images: crop faces first, as the training data were "
        "(see crop_faces.py).",
    )
    parser.add_argument("model", metavar="MODEL", help="detector saved as .keras")
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="image, or folder that is searched recursively"
    )
    parser.add_argument(
        "--output", metavar="FILE.csv", help="write a CSV file instead of printing a table"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        help="probability from which on an image is called fake (default: the model's own, or 0.5)",
    )
    return parser.parse_args()


def load_model(path):
    if not os.path.isfile(path):
        sys.exit(f"error: no such model file: {path}")
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        sys.exit(f"error: {path} is not a Keras model that can be loaded: {reason}")


def main():
    arguments = parse_arguments()
    folder = os.path.dirname(arguments.output or "") or "."
    if not os.path.isdir(folder):
        sys.exit(f"error: no such folder for --output: {folder}")
    model = load_model(arguments.model)
    try:
        predictions = kd.evaluation.predict_images(
            model, arguments.paths, threshold=arguments.threshold, verbose=1
        )
    except ValueError as error:
        sys.exit(f"error: {error}")
    if not predictions:
        sys.exit(f"error: no images in {', '.join(arguments.paths)}")

    if arguments.output:
        predictions.to_csv(arguments.output)
    else:
        print(predictions)
    verdicts = [row.verdict for row in predictions]
    counts = [f"{verdicts.count(name)} {name}" for name in predictions.class_names]
    print(f"{len(predictions)} files: {', '.join(counts)}, {verdicts.count(None)} unreadable")
    if all(row.error for row in predictions):
        sys.exit(f"error: none of the {len(predictions)} files is an image that can be read")


if __name__ == "__main__":
    main()
