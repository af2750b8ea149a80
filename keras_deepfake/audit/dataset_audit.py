"""Audit of a data set: shortcuts, copies and leaks that would let a detector cheat."""

import collections
import concurrent.futures
import copy
import dataclasses
import json
import os
import textwrap

import keras
import numpy as np

from keras_deepfake.audit._duplicates import connected_sets, exact_copies, similar_pairs
from keras_deepfake.audit._file_traits import read_file_traits
from keras_deepfake.audit._shortcut_auc import shortcut_auc
from keras_deepfake.reports.html_page import section_html

SEVERITIES = ("error", "warning", "info")

# Lower end of the interval of the AUC from which a property counts as a shortcut.
_ERROR_AUC = 0.7
_WARNING_AUC = 0.6

# Images of a class that a part of the data must have to be looked at for itself.
_MIN_PART = 10

_REMEDIES = {
    "format": "Decode all images and save both classes in one format with the same settings.",
    "image_size": "Crop and resize both classes by the same procedure before saving them.",
    "jpeg_quality": "Save both classes again, decoded, with the same JPEG quality.",
    "chroma_subsampling": "Save both classes again with the same chroma subsampling.",
    "file_size": "This is a symptom of another difference: format, size, compression or blur.",
    "colour_mode": "Convert both classes to the same colour mode before saving them.",
    "brightness": "Take both classes from like sources, or change the brightness at random.",
    "sharpness": "Resize and compress both classes alike, and blur at random in training.",
    "metadata": "Save both classes again by the same program, without metadata.",
}
# Kind, severity and message of each way in which copies can lie in the data.
_COPIES = {
    "identical, classes": (
        "duplicate",
        "error",
        "of identical images with different labels: at least one of each is wrong. Remove or "
        "relabel them.",
    ),
    "identical, splits": (
        "duplicate",
        "error",
        "of identical images in more than one split: a model is tested on what it was trained "
        "on. Keep each in one split.",
    ),
    "identical": (
        "duplicate",
        "warning",
        "of identical images within one class and split: they count several times, and a later "
        "split may part them. Keep one of each.",
    ),
    "similar, splits": (
        "near_duplicate",
        "error",
        "of re-encoded or resized copies in more than one split: a model is tested on what it "
        "was trained on. Give each set one group before splitting.",
    ),
    "similar, classes": (
        "near_duplicate",
        "error",
        "of re-encoded or resized copies with different labels. Where a fake was made from a "
        "real image, give both the same group, so that no split parts them; otherwise correct "
        "the label.",
    ),
    "similar, classes of a group": (
        "near_duplicate",
        "info",
        "of near-identical images with different labels within one group: fakes beside what they "
        "were made from. Splitting by group keeps them together.",
    ),
    "similar, groups": (
        "near_duplicate",
        "warning",
        "of re-encoded or resized copies within one class: a random split may part them. Give "
        "each set one group, or keep one of each.",
    ),
    "similar": (
        "near_duplicate",
        "info",
        "of near-identical images within one class and group: each adds little.",
    ),
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing in a data set that would let a model cheat, or that spoils its evaluation.

    Args:
        kind: `"format"`, `"image_size"`, `"jpeg_quality"`, `"chroma_subsampling"`,
            `"file_size"`, `"colour_mode"`, `"brightness"`, `"sharpness"`, `"metadata"`,
            `"duplicate"`, `"near_duplicate"` or `"group_leak"`.
        severity: `"error"`, `"warning"` or `"info"`.
        message: What was found, in numbers, and what to do.
        paths: The files concerned; for a shortcut a few that show it best.
        sets: The same files as one tuple for each set of copies or each leaking group.

    Example:
    ```python
    finding = kd.audit.Finding("duplicate", "warning", "1 set of 2 files", ("a", "b"))
    finding.kind  # 'duplicate'
    ```
    """

    kind: str
    severity: str
    message: str
    paths: tuple = ()
    sets: tuple = ()


@dataclasses.dataclass(frozen=True)
class DatasetAudit:
    """What `audit_dataset` found.

    Args:
        findings: Tuple of `Finding`, errors first.
        splits: Dictionary of the number of images of each class by split. The one split of a
            single index is called `"data"`.
        shortcuts: Dictionary from the kind of a property to its `"auc"`, `"low"` and `"high"`:
            the cross-validated AUC of predicting the class over all images, and its 95 %
            interval. Properties are left out that fewer than 5 groups of a class have.

    Example:
    ```python
    finding = kd.audit.Finding("duplicate", "warning", "1 set of 2 files", ("a", "b"))
    audit = kd.audit.DatasetAudit(
        (finding,), splits={"data": {"fake": 1, "real": 1}}, shortcuts={}
    )
    audit.ok  # True
    ```
    """

    findings: tuple
    splits: dict
    shortcuts: dict

    @property
    def ok(self):
        """Whether there is no error."""
        return not any(finding.severity == "error" for finding in self.findings)

    def to_json(self):
        """The audit as JSON text: `ok`, `splits`, `findings` and `shortcuts`."""
        return json.dumps({"ok": self.ok, **dataclasses.asdict(self)}, indent=2)

    def to_html(self):
        """The audit as a fragment of HTML, escaped, for a page of one's own."""
        return "".join(section_html(heading, contents) for heading, *contents in self.sections())

    def sections(self):
        """The audit as a section for `DetectionReport.save` and `save_html`."""
        contents = [self._summary()]
        if self.findings:
            rows = [("Severity", "Kind", "Finding", "Files")]
            for finding in self.findings:
                kind = finding.kind.replace("_", " ")
                names = ", ".join(_first_names(finding, 10))
                rows.append((finding.severity, kind, finding.message, names))
            contents.append(rows)
        if self.shortcuts:
            rows = [("Property of the file", "AUC of the class", "95 % interval")]
            rows += [
                (kind.replace("_", " "), s["auc"], (s["low"], s["high"]))
                for kind, s in self.shortcuts.items()
            ]
            contents.append(rows)
        return [("Dataset audit", *contents)]

    def __str__(self):
        lines = [self._summary()]
        for finding in self.findings:
            lines.append("")
            lines += textwrap.wrap(
                f"{finding.severity.upper()} {finding.kind}: {finding.message}",
                width=96,
                subsequent_indent="  ",
            )
            lines += [f"    {name}" for name in _first_names(finding, 6)]
        if self.shortcuts:
            lines += ["", "Class predicted from one property of the files (AUC, 95 % interval):"]
            lines += [
                f"  {kind:<20}{s['auc']:.2f} ({s['low']:.2f} to {s['high']:.2f})"
                for kind, s in self.shortcuts.items()
            ]
        return "\n".join(lines)

    def _summary(self):
        sizes = "; ".join(
            f"{_printable(split)} " + ", ".join(f"{n} {_printable(c)}" for c, n in counts.items())
            for split, counts in self.splits.items()
        )
        number = collections.Counter(finding.severity for finding in self.findings)
        return (
            f"Dataset audit {'passed' if self.ok else 'FAILED'}: "
            f"{_count(number['error'], 'error')}, {_count(number['warning'], 'warning')}, "
            f"{_count(number['info'], 'note')} ({sizes})."
        )


def _first_names(finding, limit):
    names = [_printable(path) for path in finding.paths[:limit]]
    if len(finding.paths) > limit:
        names.append(f"and {len(finding.paths) - limit} more")
    return names


def _printable(text):
    """`text` without control characters and broken Unicode, which file names may hold."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def audit_dataset(index, seed=0, verbose=0):
    """Look for what would let a detector cheat on a data set, or would spoil its evaluation.

    A model that shall tell fakes from real photographs learns instead that fakes are PNG files,
    or sharper, or recalls a face of which a copy lies in the test set. The audit reads each
    file once and reports:

    - *shortcuts*: a property of the single file that predicts its class: `format`,
      `image_size`, `jpeg_quality` (from the quantisation tables), `chroma_subsampling`,
      `file_size`, `colour_mode`, `brightness`, `sharpness` and `metadata` (what else the file
      holds, such as EXIF). Measured by the AUC on groups that were not used to learn the
      relation, whatever its form, over all images, in each split, and for each kind of fake.
      An error where the lower end of the 95 % interval, from a bootstrap over groups, is at
      least .70; a warning from .60. Properties of JPEG files are compared among those.
    - *copies*: `duplicate` (the same bytes or the same decoded pixels) is an error across
      classes or splits, a warning within. `near_duplicate` (the same picture with another
      compression or size) is an error across splits and across classes; across classes within
      one group it is information: a fake and the picture it was made from. Within a class and
      a split it is a warning between groups, which a later split may part, else information.
    - *leaks*: `group_leak`, a group (person, video) in more than one split, is an error.

    Files that cannot be read are an error of kind `format`.

    Args:
        index: `ImageIndex`, or several of them to be audited together: a dictionary from the
            name of a split to its index, or a sequence. Without labels only copies and leaks
            are looked for. Without groups each image counts as its own.
        seed: Integer. Seed of the folds and of the bootstrap.
        verbose: 1 for a progress bar, 0 for none.

    Returns:
        A `DatasetAudit`. Print it, or use `.ok`, `.findings`, `.to_json()` and `.to_html()`.

    Raises:
        ValueError: if `index` holds no images, or splits differ in their class names.

    Example:
    ```python
    import os

    rng = np.random.default_rng(0)
    for name, suffix in (("fake", "png"), ("real", "jpg")):
        os.makedirs(f"faces/{name}")
        for number in range(20):
            image = rng.integers(0, 256, (32, 32, 3))
            keras.utils.save_img(f"faces/{name}/{number}.{suffix}", image)
    audit = kd.audit.audit_dataset(kd.datasets.ImageIndex.from_directory("faces"))
    print(audit)  # the format alone tells fake from real
    ```
    """
    splits = _as_splits(index)
    files = _Files(splits)
    progress = keras.utils.Progbar(len(files.paths), verbose=verbose, unit_name="image")
    traits = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for measured in pool.map(_read, files.paths):
            traits.append(measured)
            progress.update(len(traits))
    findings = _find_unreadable(files, traits)
    readable = [i for i, t in enumerate(traits) if not isinstance(t, Exception)]
    files, traits = files.take(readable), [traits[i] for i in readable]
    shortcuts = {}
    if files.labelled:
        found, shortcuts = _find_shortcuts(files, traits, seed)
        findings += found
    findings += _find_copies(files, traits)
    findings += _find_group_leaks(files)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return DatasetAudit(tuple(findings), _class_counts(splits), shortcuts)


def _as_splits(index):
    if hasattr(index, "paths"):
        splits = {"data": index}
    elif hasattr(index, "items"):
        splits = dict(index)
    else:
        splits = {f"split {number}": split for number, split in enumerate(index)}
    for name, split in splits.items():
        if not hasattr(split, "paths"):
            raise ValueError(
                "`index` must be an ImageIndex, a dictionary of them by the name of the split, "
                f"or a sequence of them; {name!r} is a {type(split).__name__}."
            )
    if not any(len(split.paths) for split in splits.values()):
        raise ValueError("`index` holds no images: there is nothing to audit.")
    class_names = {name: split.class_names for name, split in splits.items()}
    if len({_class_names(split) for split in splits.values()}) > 1:
        raise ValueError(
            "All splits of `index` must have the same `class_names`, or all be without labels; "
            f"got {class_names}."
        )
    return splits


def _class_names(index):
    return tuple(index.class_names or ())


def _class_counts(splits):
    counts = {}
    for name, index in splits.items():
        if index.labels is None:
            counts[name] = {"unlabelled": len(index.paths)}
        else:
            number = np.bincount(index.labels, minlength=len(index.class_names))
            counts[name] = dict(zip(index.class_names, number.tolist(), strict=True))
    return counts


class _Files:
    """The files of all splits, as arrays with one entry a file."""

    def __init__(self, splits):
        self.split_names = [_printable(name) for name in splits]
        indices = list(splits.values())
        self.labelled = indices[0].labels is not None
        self.class_names = [_printable(name) for name in _class_names(indices[0])]
        sizes = [len(index.paths) for index in indices]
        self.paths = [path for index in indices for path in index.paths]
        self.split = np.repeat(np.arange(len(indices)), sizes)
        if self.labelled:
            self.labels = np.concatenate([np.asarray(index.labels, int) for index in indices])
        else:
            self.labels = np.zeros(len(self.paths), dtype=int)
        self.kinds = self._concatenate([index.kinds for index in indices], sizes)
        groups = self._concatenate([index.groups for index in indices], sizes)
        # An image without a group is one of its own.
        names = [(False, i) if group is None else (True, group) for i, group in enumerate(groups)]
        number = {name: i for i, name in enumerate(dict.fromkeys(names))}
        self.groups = np.array([number[name] for name in names])
        self.group_names = [_printable(name) for _, name in number]

    @staticmethod
    def _concatenate(columns, sizes):
        values = []
        for column, size in zip(columns, sizes, strict=True):
            values += [None] * size if column is None else list(column)
        return np.array([*values, None], dtype=object)[:-1]

    def take(self, rows):
        """The files at the integer positions `rows`."""
        files = copy.copy(self)
        files.paths = [self.paths[row] for row in rows]
        for name in ("split", "labels", "kinds", "groups"):
            setattr(files, name, getattr(self, name)[rows])
        return files

    @property
    def fake(self):
        positive = self.class_names.index("fake") if "fake" in self.class_names else 0
        return self.labels == positive


def _read(path):
    # Pillow's plugins raise whatever a broken file leads them to.
    try:
        return read_file_traits(path)
    except Exception as error:
        return error


def _find_unreadable(files, traits):
    errors = {
        path: error
        for path, error in zip(files.paths, traits, strict=True)
        if isinstance(error, Exception)
    }
    if not errors:
        return []
    first = next(iter(errors.values()))
    message = (
        f"{_count(len(errors), 'file')} cannot be read, and took no part in the audit; the "
        f"first: {type(first).__name__}: {_printable(first)}. Remove or replace them."
    )
    return [Finding("format", "error", message, tuple(errors))]


def _count(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# Shortcuts


def _properties(traits):
    """Columns that describe each kind of property: strings ("" if unknown) or floats (NaN)."""

    def texts(name):
        return np.array([getattr(t, name) for t in traits], dtype=str)

    def numbers(name):
        return np.array([getattr(t, name) for t in traits], dtype=float)

    width, height = numbers("width"), numbers("height")
    metadata = [", ".join(t.metadata) or "no metadata" for t in traits]
    number_of = collections.Counter(name for t in traits for name in t.metadata)
    presence = {
        name: np.array([("with " if name in t.metadata else "without ") + name for t in traits])
        for name, number in number_of.most_common(20)
        if number < len(traits)
    }
    return {
        "format": {"format": texts("format")},
        "image_size": {
            "size": np.array([f"{t.width} x {t.height}" for t in traits], dtype=str),
            "width": width,
            "height": height,
            "width/height": width / height,
        },
        "jpeg_quality": {
            "tables": texts("jpeg_tables"),
            "JPEG quality": numbers("jpeg_quality"),
        },
        "chroma_subsampling": {"subsampling": texts("chroma_subsampling")},
        "file_size": {"bytes": numbers("file_size")},
        "colour_mode": {"mode": texts("colour_mode")},
        "brightness": {"grey level": numbers("brightness")},
        "sharpness": {"log2(Laplacian/gradient)": numbers("sharpness")},
        "metadata": {"metadata": np.array(metadata, dtype=str), **presence},
    }


def _find_shortcuts(files, traits, seed):
    findings, shortcuts = [], {}
    for kind, columns in _properties(traits).items():
        everything = np.ones(len(traits), dtype=bool)
        overall = _strongest(columns, everything, files, seed)
        if overall is None:
            continue
        auc = overall.auc
        shortcuts[kind] = {"auc": auc.auc, "low": auc.low, "high": auc.high}
        worst = overall
        for where, rows in _parts(files):
            part = _strongest(columns, rows, files, seed)
            # What holds of all images is said of all, also where it is stronger in a part.
            if part is not None and _severity(part.auc) < _severity(worst.auc):
                worst = dataclasses.replace(part, where=where)
        severity = SEVERITIES[_severity(worst.auc)]
        if severity != "info":
            findings.append(_shortcut_finding(kind, severity, worst, files))
    return findings, shortcuts


def _severity(auc):
    return 0 if auc.low >= _ERROR_AUC else 1 if auc.low >= _WARNING_AUC else 2


def _parts(files):
    """Parts of the data in which a shortcut can hide: each split, each kind of fake."""
    parts = []
    if len(files.split_names) > 1:
        for number, name in enumerate(files.split_names):
            parts.append((f" in split {name!r}", files.split == number))
    kinds = sorted({kind for kind in files.kinds[files.fake] if kind is not None})
    if len(kinds) > 1:
        for kind in kinds:
            rows = (files.kinds == kind) | ~files.fake
            parts.append((f" for fakes of kind {_printable(kind)!r}", rows))
    # Many small parts would give one that looks bad by chance.
    return [
        (where, rows)
        for where, rows in parts
        if min(np.sum(rows & files.fake), np.sum(rows & ~files.fake)) >= _MIN_PART
    ]


@dataclasses.dataclass(frozen=True)
class _Shortcut:
    auc: object
    column: str
    values: np.ndarray
    rows: np.ndarray  # positions of the files that have the property
    by_group: bool
    where: str = ""


def _strongest(columns, rows, files, seed):
    """The column that best predicts the class among `rows`, or None where none can be tested."""
    strongest = None
    for column, values in columns.items():
        known = rows & (np.isfinite(values) if values.dtype.kind == "f" else values != "")
        if not known.any():
            continue
        where = np.flatnonzero(known)
        fake, values = files.fake[where], values[where]
        by_group = True
        auc = shortcut_auc(values, fake, files.groups[where], seed)
        if auc is None and values.dtype.kind != "f":
            # Too few people or videos to leave some out. Files of one group are alike in
            # brightness or sharpness anyway, but there is no reason why in their format.
            by_group = False
            auc = shortcut_auc(values, fake, np.arange(len(where)), seed)
        if auc is not None and (strongest is None or auc.low > strongest.auc.low):
            strongest = _Shortcut(auc, column, values, where, by_group)
    return strongest


def _shortcut_finding(kind, severity, shortcut, files):
    auc, values, fake = shortcut.auc, shortcut.values, files.fake[shortcut.rows]
    name = kind.replace("_", " ").replace("jpeg", "JPEG")
    fake_name = files.class_names[int(files.labels[files.fake][0])]
    other_names = " or ".join(c for c in files.class_names if c != fake_name)
    message = (
        f"{name} alone tells {fake_name} from {other_names}{shortcut.where}: AUC {auc.auc:.2f} "
        f"(95 % interval {auc.low:.2f} to {auc.high:.2f}"
        f"{'' if shortcut.by_group else ', by image, as there are too few groups'}). "
        f"{fake_name}: {_describe(shortcut.column, values[fake])}; "
        f"{other_names}: {_describe(shortcut.column, values[~fake])}. {_REMEDIES[kind]}"
    )
    # The most typical of both classes.
    order = np.lexsort((~fake, auc.scores))
    examples = [row for row in order[::-1] if fake[row]][:5]
    examples += [row for row in order if not fake[row]][:5]
    return Finding(
        kind,
        severity,
        message[0].upper() + message[1:],
        tuple(files.paths[shortcut.rows[row]] for row in examples),
    )


def _describe(column, values):
    if values.dtype.kind == "f":
        low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
        return f"median {column} {middle:.4g} (80 % from {low:.4g} to {high:.4g})"
    common = collections.Counter(map(_printable, values)).most_common(3)
    return ", ".join(f"{number / len(values):.0%} {value}" for value, number in common)


# Copies and leaks


def _find_copies(files, traits):
    if len(traits) < 2:
        return []
    exact = exact_copies(traits)
    sets = {relation: [] for relation in _COPIES}
    for rows in _sets_of(exact):
        classes, splits = np.ptp(files.labels[rows]) > 0, np.ptp(files.split[rows]) > 0
        if classes:
            sets["identical, classes"].append(rows)
        if splits:
            sets["identical, splits"].append(rows)
        if not classes and not splits:
            sets["identical"].append(rows)

    pairs = {relation: [] for relation in _COPIES if relation.startswith("similar")}
    for i, j in similar_pairs(np.stack([t.thumbnail for t in traits])):
        i, j = i[exact[i] != exact[j]], j[exact[i] != exact[j]]
        split = files.split[i] != files.split[j]
        label = files.labels[i] != files.labels[j]
        group = files.groups[i] != files.groups[j]
        for relation, chosen in (
            ("similar, splits", split),
            ("similar, classes", label & group),
            ("similar, classes of a group", label & ~group),
            ("similar, groups", ~split & ~label & group),
            ("similar", ~split & ~label & ~group),
        ):
            pairs[relation] += _spanning(i[chosen], j[chosen])
    for relation, linked in pairs.items():
        sets[relation] = _sets_of(connected_sets(linked, len(traits)))
    return [
        _set_finding(files, sets[relation], kind, severity, "set", text)
        for relation, (kind, severity, text) in _COPIES.items()
        if sets[relation]
    ]


def _spanning(i, j):
    """Of all pairs the first of each image: enough to name every image, and not quadratic."""
    first = np.union1d(np.unique(i, return_index=True)[1], np.unique(j, return_index=True)[1])
    return list(zip(i[first].tolist(), j[first].tolist(), strict=True))


def _sets_of(numbers):
    """Positions of equal numbers, for each number that occurs more than once."""
    order = np.argsort(numbers, kind="stable")
    sets = np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)
    return [rows for rows in sets if len(rows) > 1]


def _set_finding(files, sets, kind, severity, noun, text):
    sets = tuple(tuple(files.paths[row] for row in rows) for rows in sets)
    paths = tuple(path for paths in sets for path in paths)
    message = f"{_count(len(sets), noun)} ({_count(len(paths), 'file')}) {text}"
    return Finding(kind, severity, message, paths, sets)


def _find_group_leaks(files):
    leaking = [rows for rows in _sets_of(files.groups) if np.ptp(files.split[rows])]
    if not leaking:
        return []
    number = len(np.unique(files.groups))
    names = ", ".join(
        f"{files.group_names[files.groups[rows[0]]]!r} in "
        + " and ".join(files.split_names[split] for split in np.unique(files.split[rows]))
        for rows in leaking[:5]
    )
    text = (
        f"of {number} in more than one split: {names}{', …' if len(leaking) > 5 else ''}. A model "
        "can recognise the person or video. Split by group, as `ImageIndex.split` does."
    )
    return [_set_finding(files, leaking, "group_leak", "error", "group", text)]
