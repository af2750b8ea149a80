"""Options that several commands have."""

import os


def add_classes(add, help):
    """Add the options that say which classes there are, and which of them is fake."""
    add("--class-names", nargs=2, metavar="NAME", help=help)
    add("--fake-class", metavar="NAME", help="which of them is fake, if its name does not tell")


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
