"""Options that several commands have."""

import os
import re
import tempfile

MARGIN = 0.5  # of `FaceCropper`


def add_classes(add, help):
    """Add the options that say which classes there are, and which of them is fake."""
    add("--class-names", nargs=2, metavar="NAME", help=help)
    add("--fake-class", metavar="NAME", help="which of them is fake, if its name does not tell")


def add_index(add, use=""):
    """Add the options of how folders are read; `use` ends the help of `--group-pattern`."""
    what = "part of a file name that names its group, such as the person"
    add("--group-pattern", metavar="REGEX", help=what + use)
    add("--skip-unreadable", action="store_true", help="leave out files that cannot be read")


def add_model(add):
    """Add the argument MODEL, which may be left out."""
    path = "results/detector.keras"
    what = f"detector saved as .keras (default: {path}, as training writes it)"
    add("model", metavar="MODEL", nargs="?", default=path, help=what)


def add_margin(add):
    """Add the option of how crops of faces are framed."""
    what = f"what to leave around a face on every side, in sizes of the face (default: {MARGIN})"
    add("--margin", type=float, default=MARGIN, metavar="F", help=what)


def read_index(folder, options, class_names):
    """The images of a folder, labelled where there are class names, by the groups of the option."""
    import keras_deepfake as kd  # not above: --help need not wait for TensorFlow

    try:
        groups = re.compile(options.group_pattern) if options.group_pattern else None
    except re.error as error:
        raise ValueError(
            f"--group-pattern {options.group_pattern!r} is no regular expression: {error}."
        ) from error
    on_error = "skip" if options.skip_unreadable else "raise"
    return kd.datasets.ImageIndex.from_directory(
        folder, class_names, groups=groups, on_error=on_error
    )


def check_output(path, *suffixes):
    """Raise where --output cannot be written, before the work and not after it."""
    if os.path.isdir(path):
        raise ValueError(f"--output must be a file; {path!r} is a folder.")
    if suffixes and not path.lower().endswith(suffixes):
        raise ValueError(f"--output must end in {' or '.join(suffixes)}; got {path!r}.")
    try:
        tempfile.TemporaryFile(dir=os.path.dirname(path) or ".").close()
    except OSError as error:
        raise ValueError(f"--output {path!r} cannot be written: {error.strerror}.") from error


def check_model(options):
    """Raise where MODEL is no file, before anything is imported."""
    model = getattr(options, "model", None)
    if model and not os.path.isfile(model):
        raise ValueError(
            f"there is no file {model!r}. The first argument is a saved model, such as the "
            "detector.keras that `keras-deepfake train` leaves in its folder."
        )


OF_RESULT = (".html", ".json", ".csv")
OF_FOLDERS = "the class folders (default: recognised, as fake/ and real/ or 0_real/ and 1_fake/)"
OF_MODEL = "the classes in the order of the model's columns, if it does not hold them"
OF_THRESHOLD = (
    "probability from which on an image is called fake, and none unsure (default: the model's own)"
)
OF_SIZE = "side in pixels to resize to, for models that take any size (default: no resizing)"
