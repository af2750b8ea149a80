"""Options that several commands have."""


def add_classes(add, help):
    """Add the options that say which classes there are, and which of them is fake."""
    add("--class-names", nargs=2, metavar="NAME", help=help)
    add("--fake-class", metavar="NAME", help="which of them is fake, if its name does not tell")


OF_FOLDERS = "the class folders (default: recognised, as fake/ and real/ or 0_real/ and 1_fake/)"
OF_MODEL = "the classes in the order of the model's columns, if it does not hold them"
