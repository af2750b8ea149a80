"""Ask a saved detector for its verdict on images and folders of images.

The verdict is on whole images, which must be crops of faces as the training data were. With --faces
the images are photographs, whose faces are found and cut out first, framed by --margin as those
that the detector was trained on: each face is a row, and the photograph has the verdict of the one
that is most probably fake. Without PATH synthetic faces are drawn.
"""

import os
import sys

from keras_deepfake_commands._options import (
    MARGIN,
    OF_MODEL,
    OF_SIZE,
    OF_THRESHOLD,
    add_classes,
    add_margin,
    add_model,
    check_output,
)

NUM_SYNTHETIC_FACES = 20


def add_options(parser):
    add = parser.add_argument
    add_model(add)
    add("paths", metavar="PATH", nargs="*", help="image, or folder that is searched recursively")
    add("--faces", action="store_true", help="find the faces of photographs first")
    add_margin(add)
    add("--output", metavar="FILE.csv", help="write a CSV file instead of printing a table")
    add("--threshold", type=float, metavar="F", help=OF_THRESHOLD)
    add_classes(add, OF_MODEL)
    add("--image-size", type=int, metavar="N", help=OF_SIZE)


def run(options):
    if options.faces:
        os.environ["KERAS_BACKEND"] = "tensorflow"  # MTCNN knows no other
    import keras_deepfake as kd  # not above: --help need not wait for TensorFlow

    if options.margin != MARGIN and not options.faces:
        raise ValueError("--margin is for --faces.")
    if options.output:
        check_output(options.output, ".csv")
    images = options.paths or kd.datasets.synthetic_faces(NUM_SYNTHETIC_FACES).images
    predictions = kd.evaluation.predict_images(
        kd.models.load_model(options.model),
        images,
        threshold=options.threshold,
        class_names=options.class_names,
        fake_class=options.fake_class,
        image_size=options.image_size and (options.image_size, options.image_size),
        verbose=int(sys.stdout.isatty()),
        faces=kd.faces.FaceCropper(margin=options.margin) if options.faces else None,
    )
    if not predictions:
        raise ValueError(f"there are no images in {', '.join(options.paths)}")
    if options.output:
        predictions.to_csv(options.output)
    else:
        print(predictions)
    print(predictions.summary())
    if all(row.error for row in predictions):
        raise ValueError(f"none of the {len(predictions)} files has a verdict")
