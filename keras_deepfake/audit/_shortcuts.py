"""Properties of files that tell the classes apart."""

import collections
import dataclasses

import numpy as np

from keras_deepfake._text import printable
from keras_deepfake.audit._shortcut_auc import shortcut_auc
from keras_deepfake.audit.findings import SEVERITIES, Finding

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


@dataclasses.dataclass(frozen=True)
class _Contrast:
    """One class against all others, among all images or a part of them."""

    label: int
    rows: np.ndarray  # booleans
    where: str = ""


@dataclasses.dataclass(frozen=True)
class _Shortcut:
    auc: object
    column: str
    values: np.ndarray
    rows: np.ndarray  # positions of the files that have the property
    by_group: bool
    contrast: _Contrast


def find_shortcuts(files, traits, seed):
    """Findings of shortcuts, and the AUC of every kind of property that could be tested."""
    findings, shortcuts = [], {}
    whole, parts = _contrasts(files), _parts(files)
    for kind, columns in _properties(traits).items():
        found = [_strongest(columns, contrast, files, seed) for contrast in whole]
        found = [shortcut for shortcut in found if shortcut is not None]
        if not found:
            continue
        worst = max(found, key=lambda shortcut: shortcut.auc.low)
        shortcuts[kind] = {name: getattr(worst.auc, name) for name in ("auc", "low", "high")}
        for contrast in parts:
            part = _strongest(columns, contrast, files, seed)
            # What holds of all images is said of all, also where it is stronger in a part.
            if part is not None and _severity(part.auc) < _severity(worst.auc):
                worst = part
        severity = SEVERITIES[_severity(worst.auc)]
        if severity != "info":
            findings.append(_shortcut_finding(kind, severity, worst, files))
    return findings, shortcuts


def _severity(auc):
    return 0 if auc.low >= _ERROR_AUC else 1 if auc.low >= _WARNING_AUC else 2


def _contrasts(files):
    """Each class against the others; of two classes the one contrast that there is."""
    number = len(files.class_names)
    everything = np.ones(len(files.paths), dtype=bool)
    return [_Contrast(label, everything) for label in range(1 if number == 2 else number)]


def _parts(files):
    """Contrasts in which a shortcut can hide: in each split, and of each kind in a class."""
    parts = []
    if len(files.split_names) > 1:
        for number, name in enumerate(files.split_names):
            rows = files.split == number
            parts += [
                _Contrast(whole.label, rows, f" in split {name!r}") for whole in _contrasts(files)
            ]
    for label, name in enumerate(files.class_names):
        member = files.labels == label
        kinds = sorted({kind for kind in files.kinds[member] if kind is not None})
        if len(kinds) > 1:
            for kind in kinds:
                where = f" in kind {printable(kind)!r} of {name}"
                parts.append(_Contrast(label, (files.kinds == kind) | ~member, where))
    # Many small parts would give one that looks bad by chance.
    return [part for part in parts if _smaller_side(part, files) >= _MIN_PART]


def _smaller_side(contrast, files):
    member = files.labels[contrast.rows] == contrast.label
    return min(member.sum(), (~member).sum())


def _strongest(columns, contrast, files, seed):
    """The column that best predicts the class, or `None` where none can be tested."""
    strongest = None
    for column, values in columns.items():
        known = np.isfinite(values) if values.dtype.kind == "f" else values != ""
        rows = np.flatnonzero(contrast.rows & known)
        if len(rows) == 0:
            continue
        member, values = files.labels[rows] == contrast.label, values[rows]
        by_group = True
        auc = shortcut_auc(values, member, files.groups[rows], seed)
        if auc is None and values.dtype.kind != "f":
            # Too few people or videos to leave some out. Files of one group are alike in
            # brightness or sharpness anyway, but there is no reason why in their format.
            by_group = False
            auc = shortcut_auc(values, member, np.arange(len(rows)), seed)
        if auc is not None and (strongest is None or auc.low > strongest.auc.low):
            strongest = _Shortcut(auc, column, values, rows, by_group, contrast)
    return strongest


def _shortcut_finding(kind, severity, shortcut, files):
    auc, values, label = shortcut.auc, shortcut.values, shortcut.contrast.label
    member = files.labels[shortcut.rows] == label
    name = kind.replace("_", " ").replace("jpeg", "JPEG")
    class_name = files.class_names[label]
    other_names = " or ".join(other for other in files.class_names if other != class_name)
    message = (
        f"{name} alone tells {class_name} from {other_names}{shortcut.contrast.where}: AUC "
        f"{auc.auc:.2f} (95 % interval {auc.low:.2f} to {auc.high:.2f}"
        f"{'' if shortcut.by_group else ', by image, as there are too few groups'}). "
        f"{class_name}: {_describe(shortcut.column, values[member])}; "
        f"{other_names}: {_describe(shortcut.column, values[~member])}. {_REMEDIES[kind]}"
    )
    # The most typical of both sides.
    order = np.lexsort((~member, auc.scores))
    examples = [row for row in order[::-1] if member[row]][:5]
    examples += [row for row in order if not member[row]][:5]
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
    common = collections.Counter(map(printable, values)).most_common(3)
    return ", ".join(f"{number / len(values):.0%} {value}" for value, number in common)
