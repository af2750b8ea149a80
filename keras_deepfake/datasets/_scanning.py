"""What `ImageIndex` asks of folders and files: are they usable, and what is wrong with them."""

import collections
import functools
import os
from concurrent.futures import ThreadPoolExecutor

import keras

from keras_deepfake._arguments import check_choice
from keras_deepfake._groups import check_groups
from keras_deepfake._text import listing
from keras_deepfake.datasets._inspection import PILLOW, inspect_image
from keras_deepfake.datasets.image_files import EXTENSIONS, read_pixels, walk_images

_PARTS = {"train", "training", "val", "valid", "validation", "test", "testing"}


def walk_classes(directory, class_names):
    """Lists the image files of every class folder.

    Returns:
        Lists with the relative path, the label and the kind of every file, and the list of
        `(path, reason)` of the files that are no images.
    """
    relatives, labels, problems = [], [], []
    for label, name in enumerate(class_names):
        folder = os.path.join(directory, name)
        if os.path.isdir(folder):
            relatives += sorted(walk_images(folder, name, problems))
            labels += [label] * (len(relatives) - len(labels))
    kinds = [
        _kind(relative, class_names[label])
        for relative, label in zip(relatives, labels, strict=True)
    ]
    return relatives, labels, kinds, problems


def _kind(relative, class_name):
    folder, below, _ = relative[len(class_name) :].lstrip("/").partition("/")
    return folder if below else class_name


def check_files(paths, labels, check, verbose):
    """Checks files in parallel threads.

    Args:
        paths: Sequence of str.
        labels: Sequence of the label of every file.
        check: `"header"`, or `"pixels"` to decode them all.
        verbose: 1 shows a progress bar while decoding.

    Returns:
        List of the headers, and a dict from the positions of unusable files to the reasons.
    """
    pixels = check == "pixels"
    progress = keras.utils.Progbar(len(paths), verbose=int(pixels and verbose), unit_name="file")
    checked = []
    with ThreadPoolExecutor() as pool:
        for result in pool.map(functools.partial(_check_file, pixels=pixels), paths):
            checked.append(result)
            progress.add(1)
    reasons = _linked_files(paths, labels, checked)
    reasons |= {i: header for i, (header, _) in enumerate(checked) if isinstance(header, str)}
    return [header for header, _ in checked], reasons


def _check_file(path, pixels):
    """Returns the header or the reason why there is none, and what identifies the file."""
    try:
        header = inspect_image(path)
        # What Pillow decodes, it has decoded already.
        if pixels and header[2] != PILLOW:
            found = tuple(read_pixels(path, *header).shape[:2])
            if found != header[:2]:
                raise ValueError(f"damaged: holds {found} pixels, and its header says otherwise")
        status = os.stat(path)
    except (ValueError, OSError) as error:
        return str(error), None
    return header, (status.st_dev, status.st_ino)


def _linked_files(paths, labels, checked):
    """Maps the positions of files that are there twice to the reason to leave them out."""
    links = collections.defaultdict(list)
    for position, (_, identity) in enumerate(checked):
        if identity is not None:
            links[identity].append(position)
    reasons = {}
    for positions in links.values():
        # The first stays, unless labels differ: nobody can tell which of them is right.
        stays = len({labels[position] for position in positions}) == 1
        for position in positions[1:] if stays else positions:
            other = positions[0] if position != positions[0] else positions[1]
            reasons[position] = f"the same file as {paths[other]!r}, through a link or listed twice"
    return reasons


def count_images(directory):
    """Counts the image files that lie in a folder itself."""
    return sum(
        entry.name.lower().endswith(EXTENSIONS)
        and not entry.name.startswith(".")
        and entry.is_file()
        for entry in os.scandir(directory)
    )


def why_lacking(directory, name, class_names):
    """Returns the folder of a class without images, and what may be wrong with it."""
    folder = os.path.join(directory, name)
    if os.path.isdir(folder):
        return folder, "empty: this folder holds no usable image"
    there = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
    by_lower = {found.lower(): found for found in there}
    spelt = tuple(by_lower.get(wanted.lower(), wanted) for wanted in class_names)
    parts = [found for found in there if found.lower() in _PARTS]
    hint = ""
    if name.lower() in by_lower:
        hint = f"; pass class_names={spelt}"
    elif parts:
        hint = (
            "; these are the parts of a data set that is split already: index each of them, as by "
            f"`ImageIndex.from_directory({os.path.join(directory, parts[0])!r})`"
        )
    return folder, f"no such class folder; there are {there}{hint}"


def report_problems(source, lacking, problems, on_error):
    """Raises with all problems in one error if there are any that cannot be skipped."""
    if lacking or (problems and on_error == "raise"):
        raise ValueError(
            f"{source} has problems:{listing(lacking + problems)}\nMend or "
            + (
                "remove them; `class_names` must name classes that have images (None: the images "
                "have no labels)."
                if lacking
                else 'remove these files, or leave them out with on_error="skip".'
            )
        )


def check_settings(groups, on_error, check, verbose):
    """Raises for arguments that no index is made with."""
    check_groups(groups)
    check_choice("on_error", on_error, ("raise", "skip"))
    check_choice("check", check, ("header", "pixels"))
    check_choice("verbose", verbose, (0, 1))
