"""Look for fake faces on photographs and write a page that shows what was found.

The page has each photograph with its faces framed in the colour of the verdict, the probability
and the threshold, a map of what speaks for fake in each face, and what a verdict is not. It holds
the photographs themselves and fetches nothing. Crops are framed as those that the detector was
trained on: give --margin where theirs was another. Without PATH a photograph is drawn.
"""

import os

from keras_deepfake_commands._options import (
    OF_THRESHOLD,
    add_margin,
    add_model,
    check_output,
)

SIDE = 160  # of a face that is drawn


def add_options(parser):
    add = parser.add_argument
    add_model(add)
    add("paths", metavar="PATH", nargs="*", help="photograph, or folder, searched recursively")
    add(
        "--output",
        metavar="FILE",
        default="photographs.html",
        help="page to write (default: photographs.html)",
    )
    add("--threshold", type=float, metavar="F", help=OF_THRESHOLD)
    add_margin(add)


def draw_photograph(kd, margin):
    """Three synthetic faces side by side, and a cropper that knows where they are."""
    import numpy as np

    faces = kd.datasets.synthetic_faces(3, (SIDE, SIDE)).images
    photograph = np.full((2 * SIDE, 5 * SIDE, 3), 150, "uint8")
    # Eyes and mouth that make the crop the whole face that was drawn.
    size = SIDE / (1 + 2 * margin)
    points = np.array([[-0.25, -0.05], [0.25, -0.05], [0.0, 0.45]]) * size
    found = []
    for place, face in enumerate(faces):
        left, top = SIDE // 2 + place * 3 * SIDE // 2, SIDE // 2
        photograph[top : top + SIDE, left : left + SIDE] = face
        found.append((1.0, np.add(points, (left + SIDE / 2, top + SIDE / 2))))
    return photograph, kd.faces.FaceCropper(margin=margin, face_detector=lambda image: found)


def run(options):
    os.environ["KERAS_BACKEND"] = "tensorflow"  # the face detector knows no other
    import keras_deepfake as kd  # not above: --help need not wait for TensorFlow

    check_output(options.output, ".html")
    model = kd.models.load_model(options.model)
    if options.paths:
        photographs, faces = options.paths, kd.faces.FaceCropper(margin=options.margin)
    else:
        photographs, faces = draw_photograph(kd, options.margin)
    predictions = kd.reports.inspect_photographs(
        model, photographs, options.output, faces, options.threshold
    )
    print(f"{predictions.summary()} See {options.output}.")
