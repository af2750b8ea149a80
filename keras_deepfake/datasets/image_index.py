"""The list of image files that a dataset is made from, checked and ready to be split."""

import collections
import dataclasses
import os
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_deepfake.datasets.image_files import EXTENSIONS, inspect_image

# What operating systems leave in folders; files that begin with a dot are ignored as well.
_SYSTEM_FILES = ("desktop.ini", "thumbs.db")
_MAX_LISTED = 20


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ImageIndex:
    """An immutable list of checked image files with their labels, kinds and groups.

    Make one with `ImageIndex.from_directory`. `balanced`, `subset` and `split` return new
    indexes in a random order that depends on nothing but the seed and the relative paths:
    neither on the machine nor on the order in which its file system lists the files.

    `len(index)` is the number of images.

    Attributes:
        paths: Tuple of str.
        labels: Read-only integer array, positions in `class_names`; `None` if unlabelled.
        class_names: Tuple of str; `None` if unlabelled.
        kinds: Tuple of str, the first sub-folder under the class folder
            (`fake/faceswap/0.png` is of the kind `"faceswap"`); the class name where an image
            lies in the class folder itself. In an unlabelled index it is the first sub-folder
            of the directory, else `""`.
        groups: Tuple with the group of every image, or `None`. No two parts of a split share
            a group.
        skipped: Tuple of `(path, reason)` of the files that `on_error="skip"` left out.

    Example:
    ```python
    import os

    for name in ("fake", "real"):
        os.makedirs(f"faces/{name}")
        for i in range(10):
            keras.utils.save_img(f"faces/{name}/{i}.png", np.full((8, 8, 3), i), scale=False)
    index = kd.datasets.ImageIndex.from_directory("faces")
    train, val, test = index.balanced(seed=0).split((0.8, 0.1, 0.1), seed=0)
    len(train), len(val), len(test)  # (16, 2, 2)
    ```
    """

    paths: tuple
    labels: np.ndarray | None
    class_names: tuple | None
    kinds: tuple
    groups: tuple | None
    skipped: tuple
    # `(height, width, decoder)` of every image: what the pipelines need to know in advance.
    _headers: np.ndarray

    def __post_init__(self):
        for array in (self.labels, self._headers):
            if array is not None:
                array.flags.writeable = False

    @classmethod
    def from_directory(cls, directory, class_names=("fake", "real"), groups=None, on_error="raise"):
        """Indexes the images in a folder and checks every file.

        Class folders are read recursively. Checking reads the header and the end of a file, not
        its pixels, unless the format needs it. Reported are class folders that are missing or
        empty, and files that have an unknown extension, hold zero bytes, are truncated, too
        large, unreadable or not an image, or are there twice through links. Files that begin
        with a dot and those that operating systems leave (`Thumbs.db`) are ignored, and so are
        folders that `class_names` does not name.

        Args:
            directory: Path of the folder that holds one folder a class.
            class_names: Names of the class folders in the order of the labels. `None` indexes
                all images under `directory` without labels.
            groups: Optional function from the path (str) to the group of the image (the person
                or video it shows), or a mapping from the path, from the path relative to
                `directory` (with forward slashes), or from the file name.
            on_error: `"raise"` reports all problems in one error; `"skip"` leaves the files
                out, warns with their number, and lists them in `skipped`.

        Returns:
            An `ImageIndex` in the order of the classes, then of the relative paths.

        Raises:
            ValueError: If there are problems (with `"skip"`: if a class is left without
                images), an argument is wrong, or `groups` knows no group for an image.
        """
        directory = os.fspath(directory)
        if on_error not in ("raise", "skip"):
            raise ValueError(f'`on_error` must be "raise" or "skip"; got {on_error!r}.')
        if not (groups is None or callable(groups) or hasattr(groups, "get")):
            raise ValueError(
                f"`groups` must be None, a function of the path, or a mapping; got {groups!r}."
            )
        if not os.path.isdir(directory):
            raise ValueError(f"`directory` must be an existing folder; got {directory!r}.")
        if class_names is not None:
            class_names = _check_class_names(class_names)

        names = class_names or ("",)
        found, problems = [], []
        for label, name in enumerate(names):
            folder = os.path.join(directory, name)
            if os.path.isdir(folder):
                relatives = sorted(walk_images(folder, name, problems))
                found += [(relative, label) for relative in relatives]
        paths = [os.path.join(directory, *relative.split("/")) for relative, _ in found]
        with ThreadPoolExecutor() as pool:
            checked = list(pool.map(_check_file, paths))
        reasons = _linked_files(paths, [label for _, label in found], checked)
        reasons |= {i: header for i, (header, _) in enumerate(checked) if isinstance(header, str)}
        problems = sorted([*problems, *((paths[i], reason) for i, reason in reasons.items())])
        kept = [i for i in range(len(found)) if i not in reasons]

        # A class without images cannot be skipped.
        lacking = set(range(len(names))) - {found[i][1] for i in kept}
        lacking = [_why_lacking(directory, names[label]) for label in sorted(lacking)]
        if lacking or (problems and on_error == "raise"):
            raise ValueError(
                f"`directory`={directory!r} has problems:{_listing(lacking + problems)}\nMend or "
                + (
                    "remove them; `class_names` must name folders that hold images (None: the "
                    "images have no labels)."
                    if lacking
                    else 'remove these files, or leave them out with on_error="skip".'
                )
            )
        if problems:
            warnings.warn(
                f"Left out {len(problems)} of the files in {directory!r} (all of them are in "
                f"`.skipped`):{_listing(problems)}",
                UserWarning,
                stacklevel=2,
            )

        relatives = [found[i][0] for i in kept]
        labels = [found[i][1] for i in kept]
        paths = tuple(paths[i] for i in kept)
        return cls(
            paths=paths,
            labels=None if class_names is None else np.array(labels),
            class_names=class_names,
            kinds=tuple(map(_kind, relatives, (names[label] for label in labels))),
            groups=None if groups is None else _find_groups(groups, paths, relatives),
            skipped=tuple(problems),
            _headers=np.array([checked[i][0] for i in kept]),
        )

    def __len__(self):
        return len(self.paths)

    def __repr__(self):
        parts = [f"{len(self)} images"]
        if self.labels is None:
            parts.append("unlabelled")
        else:
            counts = np.bincount(self.labels, minlength=len(self.class_names))
            parts += [f"{n} {name}" for n, name in zip(counts, self.class_names, strict=True)]
        if self.groups is not None:
            parts.append(f"{len(set(self.groups))} groups")
        if self.skipped:
            parts.append(f"{len(self.skipped)} files skipped")
        return f"ImageIndex({', '.join(parts)})"

    def balanced(self, seed):
        """Draws the same number of images from every class: that of the smallest class.

        Args:
            seed: Non-negative integer.

        Returns:
            A new `ImageIndex` in random order.

        Raises:
            ValueError: If the index is unlabelled.
        """
        if self.labels is None:
            raise ValueError("`balanced` needs labels; this index was made with class_names=None.")
        shuffle = _shuffler(seed)
        members = self._strata(stratify=True)
        size = min(map(len, members))
        return self._take(shuffle(np.concatenate([shuffle(m)[:size] for m in members])))

    def subset(self, fraction, seed):
        """Draws a fraction of the images, the same from every class.

        Args:
            fraction: Float in (0, 1].
            seed: Non-negative integer.

        Returns:
            A new `ImageIndex` of `fraction * len(index)` images, rounded, in random order.

        Raises:
            ValueError: If `fraction` is outside (0, 1] or no image would remain.
        """
        if not 0 < fraction <= 1:
            raise ValueError(f"`fraction` must be greater than 0 and at most 1; got {fraction!r}.")
        shuffle = _shuffler(seed)
        members = self._strata(stratify=True)
        sizes = _allocate([len(m) for m in members], (fraction, 1 - fraction))[:, 0]
        if not sizes.sum():
            raise ValueError(
                f"`fraction`={fraction!r} of {len(self)} images is less than one image."
            )
        drawn = [shuffle(m)[:size] for m, size in zip(members, sizes, strict=True)]
        return self._take(shuffle(np.concatenate(drawn)))

    def split(self, fractions, seed, stratify=True):
        """Splits the index into disjoint parts.

        Sizes are rounded by largest remainder: 10,000 images at (.7, .15, .15) give exactly
        7000, 1500 and 1500. With groups, every group falls whole into one part, and sizes are
        exact to within one group, or two where a part would lack a class otherwise.

        Args:
            fractions: Sequence of positive floats that sum to 1.
            seed: Non-negative integer.
            stratify: Whether every part gets its share of every class, as equal as the
                rounding (or the groups) permit.

        Returns:
            A tuple of new `ImageIndex`es in random order, one a fraction.

        Raises:
            ValueError: If `fractions` are not positive or do not sum to 1, or a part would be
                empty.
        """
        fractions = np.asarray(fractions, dtype="float64")
        if fractions.ndim != 1 or not (fractions > 0).all() or abs(fractions.sum() - 1) > 1e-6:
            raise ValueError(
                "`fractions` must be positive numbers that sum to 1; got "
                f"{fractions.tolist()}, which sum to {fractions.sum():g}."
            )
        shuffle = _shuffler(seed)
        members = self._strata(stratify)
        sizes = _allocate([len(m) for m in members], fractions)
        if self.groups is None:
            cuts = np.cumsum(sizes, axis=1)[:, :-1]
            pieces = [np.split(shuffle(m), cut) for m, cut in zip(members, cuts, strict=True)]
            parts = [np.concatenate(piece) for piece in zip(*pieces, strict=True)]
        else:
            parts = self._split_groups(members, sizes, shuffle)
        for fraction, part in zip(fractions, parts, strict=True):
            if not len(part):
                groups = f" in {len(set(self.groups))} groups" if self.groups is not None else ""
                raise ValueError(
                    f"`fractions`={fractions.tolist()} leave the part of {fraction:g} empty: "
                    f"there are only {len(self)} images{groups}."
                )
        return tuple(self._take(shuffle(part)) for part in parts)

    def _split_groups(self, members, sizes, shuffle):
        strata = np.empty(len(self), "int64")
        for stratum, positions in enumerate(members):
            strata[positions] = stratum
        groups = collections.defaultdict(list)
        for position, group in enumerate(self.groups):
            groups[group].append(position)
        groups = list(groups.values())
        groups = [groups[i] for i in shuffle(np.arange(len(groups)))]
        # Small groups come last, to level out what the large ones left uneven.
        groups.sort(key=len, reverse=True)
        counts_of = [np.bincount(strata[group], minlength=len(members)) for group in groups]
        wanted = sizes.T.astype("float64")
        totals = np.maximum(wanted.sum(axis=1), 1)
        parts = [[] for _ in wanted]
        for place, (group, counts) in enumerate(zip(groups, counts_of, strict=True)):
            room = wanted.sum(axis=1)
            # A part is overfilled only where the group fits nowhere, and then by less than the
            # group, which keeps every size exact to within one group. Among those with room,
            # the one that lacks these classes most for its size.
            fits = room >= len(group)
            need = wanted @ counts / totals
            chosen = np.argmax(np.where(fits, need, -np.inf) if fits.any() else room)
            wanted[chosen] -= counts
            parts[chosen].append(place)
        for part, stratum in np.argwhere(sizes.T > 0):
            _give_stratum(parts, part, stratum, counts_of)
        return [
            np.array([position for place in part for position in groups[place]], "int64")
            for part in parts
        ]

    def _strata(self, stratify):
        if self.labels is None or not stratify:
            return [np.arange(len(self))]
        return [np.flatnonzero(self.labels == i) for i in range(len(self.class_names))]

    def _take(self, positions):
        return dataclasses.replace(
            self,
            paths=tuple(self.paths[i] for i in positions),
            labels=None if self.labels is None else self.labels[positions],
            kinds=tuple(self.kinds[i] for i in positions),
            groups=None if self.groups is None else tuple(self.groups[i] for i in positions),
            _headers=self._headers[positions],
        )


def _give_stratum(parts, part, stratum, counts_of):
    """Moves the smallest group that no other part needs to a part without this stratum."""

    def held(places):
        return sum((counts_of[place] for place in places), np.zeros_like(counts_of[0]))

    if held(parts[part])[stratum]:
        return
    spare = [
        (counts_of[place].sum(), other, place)
        for other, places in enumerate(parts)
        for place in places
        if counts_of[place][stratum]
        and ((held(places) - counts_of[place] > 0) == (held(places) > 0)).all()
    ]
    if spare:
        _, other, place = min(spare)
        parts[other].remove(place)
        parts[part].append(place)


def _check_class_names(class_names):
    if (
        isinstance(class_names, str)
        or not class_names
        or not all(isinstance(name, str) and name for name in class_names)
        or len(set(class_names)) < len(class_names)
    ):
        raise ValueError(
            '`class_names` must be a sequence of different folder names, as ("fake", "real"), '
            f"or None for images without labels; got {class_names!r}."
        )
    return tuple(class_names)


def walk_images(folder, relative, problems, above=()):
    """Yields the relative paths of the image files under a folder, whatever links lead there.

    Args:
        folder: Path of the folder.
        relative: The folder's own relative path, with forward slashes; `""` for the root.
        problems: List to which `(path, reason)` of every other file is added.
        above: Device and inode of the folders that lead here.
    """
    try:
        here = os.stat(folder)
        if (here.st_dev, here.st_ino) in above:
            return
        entries = list(os.scandir(folder))
    except OSError as error:
        problems.append((folder, f"unreadable: {error.strerror}"))
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in _SYSTEM_FILES:
            continue
        below = f"{relative}/{entry.name}" if relative else entry.name
        try:
            is_folder = entry.is_dir()
        except OSError as error:  # as of a link to itself
            problems.append((entry.path, f"unreadable: {error.strerror}"))
            continue
        if is_folder:
            yield from walk_images(
                entry.path, below, problems, (*above, (here.st_dev, here.st_ino))
            )
        elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
            yield below
        else:
            extension = os.path.splitext(entry.name)[1]
            problems.append((entry.path, f"unknown extension {extension!r}"))


def _check_file(path):
    """Returns the header or the reason why there is none, and what identifies the file."""
    try:
        header = inspect_image(path)
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
            reasons[position] = f"the same file as {paths[other]!r}, through a link"
    return reasons


def _why_lacking(directory, name):
    folder = os.path.join(directory, name)
    if os.path.isdir(folder):
        return folder, "empty: this folder holds no usable image"
    there = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
    return folder, f"no such class folder; there are {there}"


def _listing(problems):
    lines = [f"\n  {path}: {reason}" for path, reason in problems[:_MAX_LISTED]]
    if len(problems) > _MAX_LISTED:
        lines.append(f"\n  and {len(problems) - _MAX_LISTED} more, {len(problems)} in all")
    return "".join(lines)


def _kind(relative, class_name):
    folder, below, _ = relative[len(class_name) :].lstrip("/").partition("/")
    return folder if below else class_name


def _find_groups(groups, paths, relatives):
    found, missing = [], []
    for path, relative in zip(paths, relatives, strict=True):
        if callable(groups):
            try:
                group = groups(path)
            except Exception as error:
                raise ValueError(f"`groups` failed for {path!r}: {error!r}.") from error
        else:
            name = relative.rsplit("/", 1)[-1]
            keys = (key for key in (path, relative, name) if key in groups)
            group = groups.get(next(keys, None))
        found.append(group)
        if group is None:
            missing.append((path, "no group"))
    if missing:
        raise ValueError(
            f"`groups` must give every image a group other than None: {_listing(missing)}"
        )
    return tuple(found)


def _shuffler(seed):
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"`seed` must be a non-negative integer; got {seed!r}.")
    # NumPy promises that the raw numbers of a bit generator never change; it makes no such
    # promise for `Generator.permutation`, and splits must outlive a NumPy release.
    bits = np.random.PCG64(seed)

    def shuffle(positions):
        return positions[np.argsort(bits.random_raw(len(positions)), kind="stable")]

    return shuffle


def _allocate(counts, fractions):
    """Divides the images of every class among the parts, rounding by largest remainder.

    Returns:
        Integer array of shape `(classes, parts)`. Its column sums are the largest-remainder
        sizes of the parts, its row sums are `counts`, and every entry is its exact share
        rounded down or up.
    """
    # Rounded, lest 0.29 * 100 = 28.999... counts as 28 and a large remainder.
    total = np.round(sum(counts) * np.asarray(fractions), 6)
    sizes = np.floor(total)
    sizes[np.argsort(sizes - total, kind="stable")[: int(sum(counts) - sizes.sum())]] += 1
    shares = np.round(np.outer(counts, fractions), 6)
    cells = np.floor(shares)
    for count, cell, share in zip(counts, cells, shares, strict=True):
        # Giving to the parts that lack most always ends with every part full (Gale, Ryser).
        lacking = sizes - cells.sum(axis=0)
        order = np.lexsort((cell - share, -lacking))
        cell[order[: int(count - cell.sum())]] += 1
    return cells.astype("int64")
