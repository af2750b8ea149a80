"""Ask a saved detector for its verdict on images and folders of images.

The verdict is on whole images: crop faces first, as the training data were (see crop_faces.py).
Without PATH the script draws synthetic faces.
"""

import argparse
import os
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes on the hardware

NUM_SYNTHETIC_FACES = 20


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "model",
        metavar="MODEL",
        nargs="?",
        default="results/detector.keras",
        help="detector saved as .keras (default: results/detector.keras)",
    )
    add("paths", metavar="PATH", nargs="*", help="image, or folder that is searched recursively")
    add("--output", metavar="FILE.csv", help="write a CSV file instead of printing a table")
    add("--threshold", type=float, metavar="F", help="called fake from here on, and nothing unsure")
    add(
        "--class-names",
        nargs=2,
        metavar="NAME",
        help="the classes in the order of the model's columns, if it does not hold them",
    )
    add("--fake-class", metavar="NAME", help="which of them is fake, if its name does not tell")
    add("--image-size", type=int, metavar="N", help="for models of images of any size")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse_arguments(arguments)
    import keras_deepfake as kd  # not above: --help need not wait for TensorFlow

    try:
        if options.output:
            # What cannot be written shows now, not after the last image.
            tempfile.TemporaryFile(dir=os.path.dirname(options.output) or ".").close()
        images = options.paths or kd.datasets.synthetic_faces(NUM_SYNTHETIC_FACES).images
        predictions = kd.evaluation.predict_images(
            kd.models.load_model(options.model),
            images,
            threshold=options.threshold,
            class_names=options.class_names,
            fake_class=options.fake_class,
            image_size=options.image_size and (options.image_size, options.image_size),
            verbose=1,
        )
        if not predictions:
            raise ValueError(f"there are no images in {', '.join(options.paths)}")
        if options.output:
            predictions.to_csv(options.output)
        else:
            print(predictions)
    except (ValueError, OSError) as error:
        sys.exit(f"predict_folder.py: {error}")
    print(predictions.summary())
    if all(row.error for row in predictions):
        sys.exit(f"predict_folder.py: none of the {len(predictions)} files can be read")


if __name__ == "__main__":
    main()
