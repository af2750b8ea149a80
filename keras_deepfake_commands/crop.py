"""Crop and align the faces of ordinary photographs, as the detectors expect them.

Every face becomes a square PNG file OUT/<folders of IN>/<name>_<i>.png, the largest face first;
PNG adds no compression traces of its own. The face is turned upright by its eyes and mouth and
framed as in FFHQ at the default margin. What lies outside the photograph repeats its border.
OUT.csv lists what became of every file, those without a face included.
"""

import os

from keras_deepfake_commands._options import add_margin


def add_options(parser):
    add = parser.add_argument
    add("photographs", metavar="IN", help="photograph, or folder that is searched recursively")
    add("output", metavar="OUT", help="folder for the crops")
    add("--size", type=int, default=256, metavar="N", help="side of a crop (default: 256)")
    add_margin(add)
    add("--overwrite", action="store_true", help="replace crops that exist")


def run(options):
    os.environ["KERAS_BACKEND"] = "tensorflow"  # MTCNN knows no other
    import keras_deepfake as kd  # not above: --help need not wait for TensorFlow

    faces = kd.faces.FaceCropper(options.size, options.margin)
    crops = kd.faces.crop_faces(
        options.photographs, options.output, faces, overwrite=options.overwrite
    )
    print(f"{crops.summary()}; see {os.path.normpath(options.output)}.csv")
