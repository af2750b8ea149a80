"""Lists of image files as people keep them: CSV, JSON, rows."""

import csv
import json
import os
from collections.abc import Mapping

from keras_deepfake._arguments import check_integer, check_path
from keras_deepfake._classes import check_class_names
from keras_deepfake._text import listing

HEADINGS = ("path", "label", "group", "kind")


def read_rows(table):
    """Returns a table as a list of dicts with `"path"` and the columns that it has.

    Args:
        table: Path of a CSV or JSON file, or a list of dicts. Relative paths in a file are
            relative to its folder.
    """
    if isinstance(table, (list, tuple)):
        rows, folder = table, ""
    else:
        file = check_path("table", table)
        folder = os.path.dirname(os.fspath(table))
        try:
            # The first bytes of a CSV file of Excel are a mark; a path may be no UTF-8.
            with open(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
                if file.suffix.lower() == ".csv":
                    rows = list(csv.DictReader(lines))
                elif file.suffix.lower() == ".json":
                    rows = json.load(lines)
                else:
                    raise ValueError("it must be a .csv or .json file")
        except (OSError, ValueError, csv.Error, RecursionError) as error:
            raise ValueError(f"`table`={os.fspath(table)!r} cannot be read: {error}.") from error
    if not isinstance(rows, (list, tuple)) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(
            "`table` must be a CSV file, a JSON file with a list of records, or a list of dicts, "
            f'each with "path" and perhaps "label", "group" and "kind"; got {table!r}.'
        )
    rows = [_with_known_headings(row) for row in rows]
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get("path"), (str, os.PathLike)) or not os.fspath(row["path"]):
            raise ValueError(
                f'Every row of `table` needs a "path"; row {number} has the columns {list(row)}.'
            )
    return [{**row, "path": os.path.join(folder, row["path"])} for row in rows]


def _with_known_headings(row):
    """The row with the headings that mean something here, in whatever case, without spaces."""
    known = {str(heading).strip().lower(): value for heading, value in row.items()}
    return {**{name: known[name] for name in HEADINGS if name in known}, **row}


def column(rows, name):
    """Returns the values of a column, `None` where empty, or `None` if all of them are."""
    values = [None if row.get(name) == "" else row.get(name) for row in rows]
    return None if all(value is None for value in values) else values


def check_sequence(name, values, length=None):
    """Returns a sequence as a list, of `length` items if that is given."""
    if isinstance(values, (str, bytes, dict)) or not hasattr(values, "__iter__"):
        raise ValueError(f"`{name}` must be a sequence; got {values!r}.")
    values = list(values)
    if length is not None and len(values) != length:
        raise ValueError(
            f"`{name}` must have one item for each of the {length} paths; got {len(values)}."
        )
    return values


def align(paths, labels, class_names, groups, kinds):
    """Returns labels as numbers, the class names, groups as a mapping, and kinds.

    Args:
        paths: List of str.
        labels: Sequence of class names or numbers along `paths`, or `None`.
        class_names: Sequence of str, of no meaning without labels.
        groups: Sequence along `paths`, or anything else that `find_groups` takes.
        kinds: Sequence along `paths`, or `None`; `None` in it stands for the name of the class.
    """
    if labels is None:
        class_names, names = None, [""] * len(paths)
    else:
        class_names = check_class_names(class_names, least=1)
        labels = check_sequence("labels", labels, len(paths))
        labels = _label_numbers(labels, paths, class_names)
        names = [class_names[label] for label in labels]
    # A Series of pandas has `get`, as mappings have.
    is_mapping = isinstance(groups, Mapping) or not hasattr(groups, "__iter__")
    if not (is_mapping or isinstance(groups, (str, bytes))):
        groups = check_sequence("groups", groups, len(paths))
        # Of a path that is listed twice the first row stays.
        groups = dict(zip(reversed(paths), reversed(groups), strict=True))
    if kinds is not None:
        kinds = zip(check_sequence("kinds", kinds, len(paths)), names, strict=True)
        # NaN, by which tables say that there is none, differs from itself.
        names = [name if kind is None or kind != kind else str(kind) for kind, name in kinds]
    return labels, class_names, groups, names


def _label_numbers(labels, paths, class_names):
    """Returns labels, which are names or numbers of classes, as positions in `class_names`."""
    numbers, problems = [], []
    for label, path in zip(labels, paths, strict=True):
        if isinstance(label, str) and label in class_names:
            numbers.append(class_names.index(label))
            continue
        try:
            number = int(label) if isinstance(label, str) and label.isdecimal() else label
            numbers.append(check_integer("label", number, 0, len(class_names) - 1))
        except ValueError:
            problems.append((path, f"label {label!r}"))
    if problems:
        raise ValueError(
            f"`labels` must be class names or their numbers in the order of `class_names`="
            f"{class_names}, which must be spelt as the labels are:{listing(problems)}"
        )
    return numbers
