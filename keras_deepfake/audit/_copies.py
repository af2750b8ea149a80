"""Copies of images and groups of images that lie where they spoil training or evaluation."""

import numpy as np

from keras_deepfake.audit._duplicates import connected_sets, exact_copies, similar_pairs
from keras_deepfake.audit.findings import Finding, count

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


def find_copies(files, traits):
    """Findings of duplicates and near-duplicates across and within classes, splits and groups."""
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
    message = f"{count(len(sets), noun)} ({count(len(paths), 'file')}) {text}"
    return Finding(kind, severity, message, paths, sets)


def find_group_leaks(files):
    """Finding of the groups that lie in more than one split."""
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
