"""What the classes are called, and which of them is the fake one."""

import re

import numpy as np

from keras_deepfake._arguments import check_choice
from keras_deepfake._pixels import to_numpy

CLASS_NAMES = ("fake", "real")

_FAKE_WORDS = {
    "altered",
    "deepfake",
    "deepfakes",
    "fake",
    "fakes",
    "forged",
    "forgery",
    "generated",
    "manipulated",
    "spoof",
    "synthesized",
    "synthetic",
    "tampered",
}
_REAL_WORDS = {
    "authentic",
    "genuine",
    "original",
    "originals",
    "pristine",
    "real",
    "reals",
    "unaltered",
}


def check_class_names(class_names, count=None, least=2, name="class_names"):
    """Return `least` or more different names as a tuple of str; `count` fixes how many."""
    is_text = isinstance(class_names, (str, bytes))
    try:
        names = () if is_text else tuple(class_names)
    except TypeError:
        names = ()
    if (
        len(names) < least
        or not all(isinstance(part, str) and part for part in names)
        or len(set(names)) < len(names)
        or (count is not None and len(names) != count)
    ):
        how_many = "two" if count == 2 else "two or more" if least == 2 else "one or more"
        raise ValueError(
            f"`{name}` must be {how_many} different names in the order of the labels, such as "
            f'("fake", "real"); got {class_names!r}.'
        )
    # As plain strings, not NumPy's, they survive a configuration.
    return tuple(map(str, names))


def class_names_of(data):
    """The class names of data as a tuple, or `None`.

    Keras gives its datasets numbers for names where it is told the labels: these say nothing.
    """
    names = getattr(data, "class_names", None)
    if names is None or [*names] == [str(number) for number in range(len(names))]:
        return None
    return tuple(names)


def class_numbers(labels, num_classes=2):
    """Class numbers, as a list, of one-hot labels or of numbers from 0."""
    labels = to_numpy(labels, "labels")
    if labels.ndim == 2 and labels.shape[1] == num_classes:
        if not (np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()):
            raise ValueError(
                f"Labels in {num_classes} columns must be one-hot, a single 1 in each row."
            )
        return labels.argmax(axis=1).tolist()
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    # Booleans say "is fake" to one and "is of class 1" to another.
    is_number = labels.ndim == 1 and labels.dtype != bool
    if not is_number or not np.isin(labels, range(num_classes)).all():
        raise ValueError(
            f"Labels must be one-hot of shape (images, {num_classes}), or class numbers from 0 to "
            f"{num_classes - 1} of shape (images,) or (images, 1), in the order of the class "
            f"names; got {labels.dtype} of shape {labels.shape} with values such as "
            f"{labels.ravel()[:3].tolist()}."
            f"{' Detection has two classes.' if num_classes == 2 else ''}"
        )
    return labels.astype(int).tolist()


def find_fake(class_names, fake_class=None):
    """Return the position of the fake class among two or more.

    A name is recognised by its words, whatever their case: `"fake"`, `"FAKE"`, `"1_fake"`,
    `"TrainingFake"` and `"manipulated"` are fake, `"real"` and `"original"` are not. Of two
    classes, one that is recognised suffices.

    Args:
        class_names: Tuple of names.
        fake_class: The name of the fake class, where it cannot be recognised.

    Raises:
        ValueError: if no name, or more than one, is that of a fake class.
    """
    if fake_class is not None:
        return class_names.index(check_choice("fake_class", fake_class, class_names))
    words = [_words(name) for name in class_names]
    fakes = [place for place, found in enumerate(words) if found & _FAKE_WORDS]
    reals = [place for place, found in enumerate(words) if found & _REAL_WORDS]
    if not fakes and len(reals) == 1 and len(class_names) == 2:
        fakes = [1 - reals[0]]
    if len(fakes) != 1 or fakes[0] in reals:
        raise ValueError(
            f"`class_names`={class_names} do not say which class is the fake one. Name it: "
            f"`fake_class={class_names[0]!r}`, or whichever it is."
        )
    return fakes[0]


def _words(name):
    capitals = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    return {word.lower() for word in [*capitals, *re.findall(r"[A-Za-z]+", name)]}
