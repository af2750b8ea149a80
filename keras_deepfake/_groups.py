"""Which images belong together: those of one person, or of one video."""

import re

import numpy as np

from keras_deepfake._text import listing


def check_groups(groups):
    """Raises unless `groups` is something that `find_groups` takes."""
    text = isinstance(groups, re.Pattern) and isinstance(groups.pattern, str)
    if not (groups is None or text or callable(groups) or hasattr(groups, "get")):
        raise ValueError(
            "`groups` must be None, a compiled pattern of str, a function of the path, or a "
            f"mapping; got {groups!r}."
        )


def find_groups(groups, paths, relatives):
    """Returns the group of every image, or raises with the paths of those that have none."""
    found, missing = [], []
    for path, relative in zip(paths, relatives, strict=True):
        try:
            group = _find_group(groups, path, relative)
            hash(group)
        except Exception as error:
            raise ValueError(f"`groups` failed for {path!r}: {error!r}.") from error
        group = group.item() if isinstance(group, np.generic) else group
        found.append(group)
        # NaN, which is how tables say that there is none, differs from itself.
        if group is None or group != group:
            missing.append((path, "no group"))
    if missing:
        raise ValueError(
            f"`groups` must give every image a group other than None: {listing(missing)}"
        )
    return tuple(found)


def _find_group(groups, path, relative):
    name = re.split(r"[\\/]", path)[-1]
    if isinstance(groups, re.Pattern):
        match = groups.search(name)
        return (match[1 if groups.groups else 0] or None) if match else None
    if callable(groups):
        return groups(path)
    keys = (key for key in (path, relative, name) if key in groups)
    return groups.get(next(keys, None))
