"""Options that several commands have."""

import os
import re


def add_classes(add, help):
    """Add the options that say which classes there are, and which of them is fake."""
    add("--class-names", nargs=2, metavar="NAME", help=help)
    add("--fake-class", metavar="NAME", help="which of them is fake, if its name does not tell")


def add_groups(add, use=""):
    """Add the option that says which images belong together; `use` ends its help."""
    what = "part of a file name that names its group, such as the person"
    add("--group-pattern", metavar="REGEX", help=what + use)


def add_model(add):
    """Add the argument MODEL, which may be left out."""
    path = "results/detector.keras"
    what = f"detector saved as .keras (default: {path}, as training writes it)"
    add("model", metavar="MODEL", nargs="?", default=path, help=what)


def read_index(folder, options, class_names):
    """The images of a folder, labelled where there are class names, by the groups of the option."""
    import keras_deepfake as kd  # not above: --help need not wait for TensorFlow

    groups = re.compile(options.group_pattern) if options.group_pattern else None
    return kd.datasets.ImageIndex.from_directory(folder, class_names, groups=groups)


def check_model(options):
    """Raise where MODEL is no file, before anything is imported."""
    model = getattr(options, "model", None)
    if model and not os.path.isfile(model):
        raise ValueError(
            f"there is no file {model!r}. The first argument is a saved model, such as the "
            "detector.keras that `keras-deepfake train` leaves in its folder."
        )


OF_FOLDERS = "the class folders (default: recognised, as fake/ and real/ or 0_real/ and 1_fake/)"
OF_MODEL = "the classes in the order of the model's columns, if it does not hold them"
OF_THRESHOLD = (
    "probability from which on an image is called fake, and none unsure (default: the model's own)"
)
OF_SIZE = "side in pixels to resize to, for models that take any size (default: no resizing)"
