"""The list of image files that a dataset is made from, checked and ready to be split."""

import dataclasses
import os
import warnings

import numpy as np

from keras_deepfake._arguments import check_flag, check_number, check_path
from keras_deepfake._classes import check_class_names
from keras_deepfake._groups import find_groups
from keras_deepfake._text import listing
from keras_deepfake.datasets._scanning import (
    check_files,
    check_settings,
    count_images,
    report_problems,
    walk_classes,
    why_lacking,
)
from keras_deepfake.datasets._splitting import (
    allocate,
    check_fractions,
    check_parts,
    check_positions,
    shuffler,
    split_groups,
)
from keras_deepfake.datasets._tables import align, check_sequence, column, read_rows


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ImageIndex:
    """An immutable list of checked image files with their labels, kinds and groups.

    Make one with `ImageIndex.from_directory`, `from_paths` or `from_table`. `balanced`, `subset`
    and `split` return new indexes in a random order that depends on nothing but the seed and the
    order of the index. That of a directory is the same on every machine, however its file system
    lists the files.

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
        headers: Read-only integer array `(images, 3)`: height, width, and a number that tells the
            pipelines who decodes the file.

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
    headers: np.ndarray

    def __post_init__(self):
        for array in (self.labels, self.headers):
            if array is not None:
                array.flags.writeable = False

    @classmethod
    def from_directory(
        cls,
        directory,
        class_names=("fake", "real"),
        groups=None,
        on_error="raise",
        check="header",
        verbose=1,
    ):
        """Indexes the images in a folder and checks every file.

        Class folders are read recursively. Reported are class folders that are missing or
        empty, and files that have an unknown extension, hold zero bytes, are truncated, too
        large (see `load_image`), unreadable or not an image, or are there twice through links.
        Every folder is read once, whatever links lead there. Files that begin with a dot and
        what operating systems and network disks leave (`Thumbs.db`, `@eaDir`) are ignored, and
        so are folders that `class_names` does not name. Images beside the class folders are
        ignored with a warning.

        Args:
            directory: Path of the folder that holds one folder a class.
            class_names: Names of the class folders in the order of the labels, one or more.
                `None` indexes all images under `directory` without labels.
            groups: Where the group of an image (the person or video it shows) is found: a
                compiled pattern that is searched in the file name, whose first parenthesis, or
                else the whole match, is the group (`re.compile(r"^([^_]+)_")`); a function of
                the path (str); or a mapping from the path, from the path relative to
                `directory` (with forward slashes), or from the file name.
            on_error: `"raise"` reports all problems in one error; `"skip"` leaves the files
                out, warns with their number, and lists them in `skipped`.
            check: `"header"` reads the header and the end of a file, not its pixels, unless the
                format needs it. `"pixels"` decodes every file as the datasets do, so that
                what passes can be read in training.
            verbose: 1 shows a progress bar while `"pixels"` are checked, 0 does not.

        Returns:
            An `ImageIndex` in the order of the classes, then of the relative paths.

        Raises:
            ValueError: If there are problems (with `"skip"`: if a class is left without
                images), an argument is wrong, or `groups` knows no group for an image.
        """
        check_path("directory", directory)
        directory = os.fspath(directory)
        if class_names is not None:
            class_names = check_class_names(class_names, least=1)
        check_settings(groups, on_error, check, verbose)
        if not os.path.isdir(directory):
            raise ValueError(f"`directory` must be an existing folder; got {directory!r}.")

        names = class_names or ("",)
        relatives, labels, kinds, problems = walk_classes(directory, names)
        index = cls._checked(
            f"`directory`={directory!r}",
            [os.path.join(directory, *relative.split("/")) for relative in relatives],
            None if class_names is None else labels,
            class_names,
            groups,
            kinds,
            on_error,
            check,
            verbose,
            relatives=relatives,
            problems=problems,
            why_lacking=lambda name: why_lacking(directory, name, names),
        )
        beside = count_images(directory) if class_names is not None else 0
        if beside:
            warnings.warn(
                f"{beside} images lie in {directory!r} beside the class folders; they are not in "
                "the index.",
                UserWarning,
                stacklevel=2,
            )
        return index

    @classmethod
    def from_paths(
        cls,
        paths,
        labels=None,
        class_names=("fake", "real"),
        groups=None,
        kinds=None,
        on_error="raise",
        check="header",
        verbose=1,
    ):
        """Indexes the files of a list and checks each as `from_directory` does.

        Args:
            paths: Sequence of paths.
            labels: Sequence with the class name of every image, or its number in the order of
                `class_names`; `None` makes an index without labels.
            class_names: Names of the classes in the order of the labels.
            groups: Sequence with the group of every image, or as in `from_directory`.
            kinds: Sequence with the kind of every image, by default the name of its class.
            on_error: As in `from_directory`, and so are `check` and `verbose`.
            check: See `on_error`.
            verbose: See `on_error`.

        Returns:
            An `ImageIndex` in the order of `paths`.

        Raises:
            ValueError: As `from_directory` does.
        """
        paths = check_sequence("paths", paths)
        paths = [os.fspath(check_path(f"paths[{i}]", path)) for i, path in enumerate(paths)]
        return cls._checked(
            "`paths`", paths, labels, class_names, groups, kinds, on_error, check, verbose
        )

    @classmethod
    def from_table(
        cls,
        table,
        class_names=("fake", "real"),
        groups=None,
        on_error="raise",
        check="header",
        verbose=1,
    ):
        """Indexes the files of a table and checks each as `from_directory` does.

        The columns are `path`, and as far as there are any `label` (the name of a class, or its
        number in the order of `class_names`), `group` and `kind`. Others are ignored. Without
        labels the index is unlabelled.

        Args:
            table: Path of a CSV file with a head line or of a JSON file with a list of records,
                both UTF-8, whose relative paths are relative to its folder; or a list of dicts.
            class_names: Names of the classes in the order of the labels.
            groups: As in `from_directory`; by default the column `group`.
            on_error: As in `from_directory`, and so are `check` and `verbose`.
            check: See `on_error`.
            verbose: See `on_error`.

        Returns:
            An `ImageIndex` in the order of the rows.

        Raises:
            ValueError: As `from_directory` does, or if the table cannot be read.
        """
        rows = read_rows(table)
        return cls._checked(
            "`table`",
            [row["path"] for row in rows],
            column(rows, "label"),
            class_names,
            column(rows, "group") if groups is None else groups,
            column(rows, "kind"),
            on_error,
            check,
            verbose,
        )

    @classmethod
    def _checked(
        cls,
        source,
        paths,
        labels,
        class_names,
        groups,
        kinds,
        on_error,
        check,
        verbose,
        relatives=None,
        problems=(),
        why_lacking=lambda name: (f"class {name!r}", "no usable image"),
    ):
        """Checks the files and makes the index of those that pass, or raises."""
        labels, class_names, groups, kinds = align(paths, labels, class_names, groups, kinds)
        check_settings(groups, on_error, check, verbose)
        relatives = paths if relatives is None else relatives
        names, numbers = class_names or ("",), labels or [0] * len(paths)
        headers, reasons = check_files(paths, numbers, check, verbose)
        problems = sorted([*problems, *((paths[i], reason) for i, reason in reasons.items())])
        kept = [i for i in range(len(paths)) if i not in reasons]

        # A class without images cannot be skipped.
        lacking = sorted(set(range(len(names))) - {numbers[i] for i in kept})
        report_problems(source, [why_lacking(names[i]) for i in lacking], problems, on_error)
        if problems:
            warnings.warn(
                f"Left out {len(problems)} of the files of {source} (all of them are in "
                f"`.skipped`):{listing(problems)}",
                UserWarning,
                stacklevel=3,
            )
        paths, relatives = (tuple(x[i] for i in kept) for x in (paths, relatives))
        return cls(
            paths=paths,
            labels=None if labels is None else np.array([labels[i] for i in kept]),
            class_names=class_names,
            kinds=tuple(kinds[i] for i in kept),
            groups=None if groups is None else find_groups(groups, paths, relatives),
            skipped=tuple(problems),
            headers=np.array([headers[i] for i in kept]),
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
            ValueError: If the index is unlabelled, or a class has no images.
        """
        if self.labels is None:
            raise ValueError("`balanced` needs labels; this index was made with class_names=None.")
        shuffle = shuffler(seed)
        members = self._strata(stratify=True)
        size = min(map(len, members))
        if not size:
            raise ValueError(f"`balanced` needs images of every class; this index is {self!r}.")
        return self.take(shuffle(np.concatenate([shuffle(m)[:size] for m in members])))

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
        fraction = check_number("fraction", fraction, above=0, most=1)
        shuffle = shuffler(seed)
        members = self._strata(stratify=True)
        sizes = allocate([len(m) for m in members], (fraction, 1 - fraction))[:, 0]
        if not sizes.sum():
            raise ValueError(
                f"`fraction`={fraction!r} of {len(self)} images is less than one image."
            )
        drawn = [shuffle(m)[:size] for m, size in zip(members, sizes, strict=True)]
        return self.take(shuffle(np.concatenate(drawn)))

    def split(self, fractions, seed, stratify=True):
        """Splits the index into disjoint parts.

        Sizes are rounded by largest remainder: 10,000 images at (.7, .15, .15) give exactly
        7000, 1500 and 1500. With groups, every group falls whole into one part, and sizes are
        exact to within one group, or about two where a part would lack a class otherwise.

        Args:
            fractions: Sequence of positive floats that sum to 1.
            seed: Non-negative integer.
            stratify: Whether every part gets its share of every class, as equal as the
                rounding (or the groups) permit.

        Returns:
            A tuple of new `ImageIndex`es in random order, one a fraction.

        Raises:
            ValueError: If `fractions` are not positive or do not sum to 1, or a part would be
                empty or have one class only, though the index has more.
        """
        fractions = check_fractions(fractions)
        check_flag("stratify", stratify)
        shuffle = shuffler(seed)
        members = self._strata(stratify)
        sizes = allocate([len(m) for m in members], fractions)
        if self.groups is None:
            cuts = np.cumsum(sizes, axis=1)[:, :-1]
            pieces = [np.split(shuffle(m), cut) for m, cut in zip(members, cuts, strict=True)]
            parts = [np.concatenate(piece) for piece in zip(*pieces, strict=True)]
        else:
            parts = split_groups(self.groups, members, sizes, shuffle)
        check_parts(self, fractions, parts)
        return tuple(self.take(shuffle(part)) for part in parts)

    def _strata(self, stratify):
        if self.labels is None or not stratify:
            return [np.arange(len(self))]
        return [np.flatnonzero(self.labels == i) for i in range(len(self.class_names))]

    def take(self, positions):
        """Takes images into a new index: those at some positions, or where a mask is true."""
        positions = check_positions(positions, len(self))
        return dataclasses.replace(
            self,
            paths=tuple(self.paths[i] for i in positions),
            labels=None if self.labels is None else self.labels[positions],
            kinds=tuple(self.kinds[i] for i in positions),
            groups=None if self.groups is None else tuple(self.groups[i] for i in positions),
            headers=self.headers[positions],
        )
