import json
import os
import pathlib
import re

import pytest

from keras_deepfake.datasets import ImageIndex, classification_dataset


@pytest.mark.parametrize("kind", ["csv", "json", "rows"])
def test_tables(faces, kind, monkeypatch):
    rows = [
        {"path": "fake/000.png", "label": "fake", "group": "ann", "kind": "gan", "frame": "3"},
        {"path": "real/000.jpg", "label": "1", "group": "ann", "kind": "", "frame": ""},
        {"path": str(faces / "real" / "001.jpg"), "label": "real", "group": "bo", "kind": ""},
    ]
    if kind == "csv":
        table = faces / "faces.CSV"
        lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
        table.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    elif kind == "json":
        table = str(faces / "faces.json")
        pathlib.Path(table).write_text(json.dumps(rows))
    else:
        table = rows
        monkeypatch.chdir(faces)
    index = ImageIndex.from_table(table)
    assert [pathlib.Path(path).resolve() for path in index.paths] == [
        faces / "fake" / "000.png",
        faces / "real" / "000.jpg",
        faces / "real" / "001.jpg",
    ]
    assert index.labels.tolist() == [0, 1, 1]
    assert index.groups == ("ann", "ann", "bo")
    assert index.kinds == ("gan", "real", "real")
    assert ImageIndex.from_table(table, groups=re.compile("...")).groups == ("000", "000", "001")


def test_headings_may_be_written_otherwise(faces):
    table = faces / "faces.csv"
    table.write_text("Path, LABEL, Group ,frame\nfake/000.png,fake,ann,3\nreal/000.jpg,real,bo,4\n")
    index = ImageIndex.from_table(table)
    assert index.labels.tolist() == [0, 1]
    assert index.groups == ("ann", "bo")


class Series:
    """What counts of one of pandas: a sequence that has `get`."""

    def __init__(self, values):
        self.values = values

    def __iter__(self):
        return iter(self.values)

    def get(self, key, default=None):
        return default


def test_columns_of_a_data_frame(faces):
    paths = Series([faces / "fake" / "000.png", faces / "real" / "000.jpg"])
    columns = [["fake", "real"], ["ann", "bo"], [float("nan"), "photo"]]
    labels, groups, kinds = map(Series, columns)
    index = ImageIndex.from_paths(paths, labels, groups=groups, kinds=kinds)
    assert index.groups == ("ann", "bo")
    assert index.kinds == ("fake", "photo")


def test_tables_without_labels(faces):
    (faces / "faces.csv").write_text("path\nfake/000.png\nfake/001.png\n")
    index = ImageIndex.from_table(faces / "faces.csv")
    assert (index.labels, index.groups, index.kinds) == (None, None, ("", ""))


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("a.csv", "file,label\nx.png,fake", r'needs a "path"; row 1 has .*file'),
        ("a.csv", "path,label\nfake/000.png,FAKE", "label 'FAKE'"),
        ("a.csv", "path,label\nfake/000.png,fake\nreal/000.jpg,", "label None"),
        ("a.csv", "path,group\nfake/000.png,a\nfake/001.png,", "001.png: no group"),
        ("a.csv", "", "`paths`|`table` has problems"),
        ("a.csv", "path\n" + "x" * 200_000, r"`table`=.*a\.csv' cannot be read: field larger"),
        ("a.json", '[{"path": ', r"`table`=.*a\.json' cannot be read"),
        ("a.json", "[" * 100_000, r"`table`=.*a\.json' cannot be read"),
        ("a.json", '{"path": "x.png"}', "`table` must be"),
        ("a.json", '[["x.png"]]', "`table` must be"),
        ("a.json", '[{"path": 3}]', 'needs a "path"; row 1'),
        ("a.xlsx", "x", r"must be a \.csv or \.json file"),
    ],
)
def test_tables_that_are_wrong(faces, name, contents, message):
    (faces / name).write_text(contents)
    with pytest.raises(ValueError, match=message):
        ImageIndex.from_table(faces / name)


@pytest.mark.parametrize(
    "table", [None, 3, b"a.csv", "missing.csv", float("nan"), [3], {"path": 1}]
)
def test_what_is_no_table(table):
    with pytest.raises(ValueError, match="`table`"):
        ImageIndex.from_table(table)


def test_names_that_are_no_text(faces):
    name = os.fsdecode(b"f\xe4ce.png")
    try:
        (faces / "fake" / "000.png").rename(faces / "fake" / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    (faces / "faces.csv").write_bytes(b"path\nfake/f\xe4ce.png\n")
    (path,) = ImageIndex.from_table(faces / "faces.csv").paths
    index = ImageIndex.from_directory(faces)
    assert path in index.paths
    assert len(next(iter(classification_dataset(index, (4, 6))))[0]) == 32
    (faces / "fake" / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=r"f.udce4ce\.png'?: not an image") as caught:
        ImageIndex.from_directory(faces)
    str(caught.value).encode()
