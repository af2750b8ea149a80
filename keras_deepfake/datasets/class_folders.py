"""The folders that hold the two classes."""

import os

from keras_deepfake._arguments import check_choice, check_path
from keras_deepfake._classes import CLASS_NAMES, check_class_names, find_fake


def find_class_folders(directory, fake_class=None, like=None):
    """Recognise the folders of fake and of real images in a folder.

    Args:
        directory: Path of the folder that holds the two, and other folders only if they are
            called `fake` and `real`.
        fake_class: Name of the folder of fakes, where its name does not tell.
        like: Class names of a model, whatever the folders are called: the fake class gets the
            place that it has there.

    Returns:
        Their names, `class_names` of `ImageIndex.from_directory`. Without `like` they are in
        alphabetical order.

    Raises:
        ValueError: If there is no such folder, or nothing in it tells the classes; the message
            lists what is there.

    Example:
    ```python
    import os

    for name in ("0_real", "1_fake"):
        os.makedirs(f"faces/{name}")
    kd.datasets.find_class_folders("faces")  # ('0_real', '1_fake')
    ```
    """
    directory = check_path("directory", directory)
    if like is not None:
        like = check_class_names(like, 2, name="like")
    if not directory.is_dir():
        raise ValueError(f"`directory` must be an existing folder; got {str(directory)!r}.")
    names = tuple(
        sorted(
            entry.name
            for entry in os.scandir(directory)
            if entry.is_dir() and not entry.name.startswith((".", "@"))
        )
    )
    if fake_class is None and set(CLASS_NAMES) <= set(names):
        names = CLASS_NAMES
    if fake_class is not None and len(names) == 2:
        check_choice("fake_class", fake_class, names)
    try:
        if len(names) != 2:
            raise ValueError(f"there are {len(names)} folders, not two")
        if like is not None and set(like) == set(names):
            return tuple(like)
        fake = find_fake(names, fake_class)
    except ValueError as error:
        raise ValueError(
            f"`directory`={str(directory)!r} must hold a folder for each of two classes, such as "
            f"fake and real; its folders are {list(names)}. Give `class_names`, and `fake_class` "
            "if their names do not tell which is fake."
        ) from error
    return names if like is None or find_fake(like) == fake else names[::-1]
