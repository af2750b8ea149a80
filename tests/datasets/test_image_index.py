import pathlib
import pickle
import re

import numpy as np
import pytest

from keras_deepfake._groups import find_groups
from keras_deepfake.datasets import ImageIndex, classification_dataset
from tests.datasets.small_folders import fill, names


def test_index_of_two_classes(faces):
    index = ImageIndex.from_directory(faces)
    assert len(index) == 32
    assert index.class_names == ("fake", "real")
    assert index.labels.tolist() == [0] * 12 + [1] * 20
    assert index.paths[0] == str(faces / "fake" / "000.png")
    assert index.paths == tuple(sorted(index.paths))
    assert index.kinds == ("fake",) * 12 + ("real",) * 20
    assert index.groups is None
    assert index.skipped == ()
    assert repr(index) == "ImageIndex(32 images, 12 fake, 20 real)"
    reversed_classes = ImageIndex.from_directory(str(faces), class_names=["real", "fake"])
    assert reversed_classes.labels.tolist() == [0] * 20 + [1] * 12


def test_index_is_immutable(faces):
    index = ImageIndex.from_directory(faces)
    with pytest.raises(AttributeError):
        index.paths = ()
    with pytest.raises(ValueError, match="read-only"):
        index.labels[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        index.split((0.5, 0.5), seed=0)[0].labels[0] = 1
    assert pickle.loads(pickle.dumps(index)).paths == index.paths


def test_kinds_are_the_first_sub_folders(tmp_path):
    fill(tmp_path / "fake" / "faceswap" / "video0", 2)
    fill(tmp_path / "fake" / "gan", 1)
    fill(tmp_path / "fake", 1)
    fill(tmp_path / "real", 1)
    index = ImageIndex.from_directory(tmp_path)
    assert sorted(index.kinds) == ["faceswap", "faceswap", "fake", "gan", "real"]
    assert all(
        kind in pathlib.Path(path).parts
        for kind, path in zip(index.kinds, index.paths, strict=True)
    )
    shuffled = index.subset(1.0, seed=1)
    assert sorted(zip(shuffled.paths, shuffled.kinds, strict=True)) == sorted(
        zip(index.paths, index.kinds, strict=True)
    )


def test_any_file_name(tmp_path):
    for label in ("fake", "real"):
        fill(tmp_path / label, 1)
        (tmp_path / label / "000.png").rename(tmp_path / label / "sm\u00f8rrebr\u00f8d 1.PNG")
    index = ImageIndex.from_directory(tmp_path)
    assert len(next(iter(classification_dataset(index, (4, 6))))[0]) == 2


def test_unlabelled(faces):
    fill(faces, 1)
    index = ImageIndex.from_directory(faces, class_names=None)
    assert len(index) == 33
    assert index.labels is None
    assert index.class_names is None
    assert sorted(set(index.kinds)) == ["", "fake", "real"]
    assert [len(part) for part in index.split((0.5, 0.5), seed=0)] == [17, 16]
    assert len(index.subset(0.4, seed=0)) == 13
    assert "unlabelled" in repr(index)
    with pytest.raises(ValueError, match="class_names=None"):
        index.balanced(seed=0)


def test_folder_problems(faces):
    with pytest.raises(ValueError, match=r"no such class folder; there are \['fake', 'real'\]"):
        ImageIndex.from_directory(faces, class_names=("fake", "genuine"))
    (faces / "masked").mkdir()
    (faces / "fake" / "empty.jpg").write_bytes(b"")
    for on_error in ("raise", "skip"):
        with pytest.raises(ValueError, match="masked: empty") as caught:
            ImageIndex.from_directory(faces, ("fake", "masked"), on_error=on_error)
        assert "zero bytes" in str(caught.value)
    (faces / "masked" / "empty.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="no usable image"):
        ImageIndex.from_directory(faces, ("fake", "masked"), on_error="skip")
    with pytest.raises(ValueError, match="existing folder"):
        ImageIndex.from_directory(faces / "missing")


@pytest.mark.parametrize(
    ("folders", "hint"),
    [
        (("Fake", "Real"), r"pass class_names=\('Fake', 'Real'\)"),
        (("fake", "REAL"), r"pass class_names=\('fake', 'REAL'\)"),
        (("train", "valid", "test"), r"split already.*from_directory\('.*test'\)"),
        (("Training", "Validation"), r"split already.*from_directory\('.*Training'\)"),
        (("a", "b"), r"there are \['a', 'b'\]\n"),
    ],
)
def test_hints_on_class_folders(tmp_path, folders, hint):
    for folder in folders:
        fill(tmp_path / folder, 1)
    with pytest.raises(ValueError, match=hint):
        ImageIndex.from_directory(tmp_path)


def test_images_beside_the_class_folders(faces):
    fill(faces, 3)
    (faces / "notes.txt").write_text("x")
    (faces / ".hidden.png").write_text("x")
    with pytest.warns(UserWarning, match="3 images lie in .* beside") as caught:
        index = ImageIndex.from_directory(faces)
    assert len(index) == 32
    assert caught[0].filename == __file__


def test_one_class_and_many(tmp_path):
    for name in "abc":
        fill(tmp_path / name, 2)
    assert ImageIndex.from_directory(tmp_path, ("b",)).labels.tolist() == [0, 0]
    assert set(ImageIndex.from_directory(tmp_path, np.array(["a", "b", "c"])).labels) == {0, 1, 2}


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("directory", value) for value in (b"x", None, 3, float("nan"), "", "a\0b", ["x"])),
        *(("class_names", value) for value in (3, b"fake", float("nan"), {"a": 1}.values())),
        *(("groups", value) for value in (3, "a", re.compile(b"x"), float("nan"), {"a"})),
        *(("on_error", value) for value in (None, True, np.array(["skip", "raise"]))),
        *(("check", value) for value in (None, "all", b"pixels")),
        *(("verbose", value) for value in (None, "auto", 2, 0.5)),
    ],
)
def test_arguments_are_checked_first(faces, argument, value):
    (faces / "fake" / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match=f"^`{argument}`"):
        ImageIndex.from_directory(**{"directory": faces, argument: value})


@pytest.mark.parametrize("class_names", ["fake", (), ("fake", "fake"), ("fake", 1), ("",)])
def test_bad_class_names(faces, class_names):
    with pytest.raises(ValueError, match="class_names"):
        ImageIndex.from_directory(faces, class_names)


def test_class_folders_may_lie_deeper(tmp_path):
    fill(tmp_path / "train" / "fake" / "gan", 1)
    fill(tmp_path / "train" / "real", 1)
    index = ImageIndex.from_directory(tmp_path, class_names=("train/fake", "train/real"))
    assert index.kinds == ("gan", "train/real")


def test_bad_groups(faces):
    with pytest.raises(ValueError, match="groups"):
        ImageIndex.from_directory(faces, groups=["a"])


def test_bad_on_error(faces):
    with pytest.raises(ValueError, match="on_error"):
        ImageIndex.from_directory(faces, on_error="ignore")


def test_groups_from_functions_and_mappings(faces):
    by_function = ImageIndex.from_directory(faces, groups=lambda path: pathlib.Path(path).stem)
    assert by_function.groups[:2] == ("000", "001")
    keys = {
        "path": by_function.paths,
        "relative": [p.relative_to(faces).as_posix() for p in map(pathlib.Path, by_function.paths)],
        "name": names(by_function),
    }
    for paths in keys.values():
        mapping = dict(zip(paths, by_function.groups, strict=True))
        index = ImageIndex.from_directory(faces, groups=mapping)
        assert index.groups == by_function.groups
    assert "20 groups" in repr(by_function)
    parts = by_function.split((0.5, 0.5), seed=0)
    assert not set(parts[0].groups) & set(parts[1].groups)


def test_missing_groups_are_listed(faces):
    with pytest.raises(ValueError, match="other than None") as caught:
        ImageIndex.from_directory(faces, groups={"000.png": "a"})
    assert "001.png" in str(caught.value)
    assert "31 in all" in str(caught.value)
    with pytest.raises(ValueError, match=r"`groups` failed for .*000\.png"):
        ImageIndex.from_directory(faces, groups=lambda path: re.search("person", path)[0])


def test_groups_from_patterns(tmp_path):
    for name in ("ann_0.png", "ann_1.png", "bo_0.png"):
        fill(tmp_path / "bo_7", 1)
        (tmp_path / "bo_7" / "000.png").rename(tmp_path / "bo_7" / name)

    def groups(pattern):
        pattern = re.compile(pattern)
        return ImageIndex.from_directory(tmp_path, class_names=None, groups=pattern).groups

    assert groups("^([a-z]+)_([0-9])") == ("ann", "ann", "bo")
    assert groups("[a-z]+") == ("ann", "ann", "bo")
    with pytest.raises(ValueError, match="other than None") as caught:
        groups("(ann)?_")
    assert "bo_0.png: no group" in str(caught.value)
    with pytest.raises(ValueError, match=r"ann_1\.png: no group\n.*bo_0\.png: no group"):
        groups("(ann)_0|bo_7/bo")  # the folder is not searched
    windows = r"C:\\faces_2\\real\\cy_1.jpg"
    assert find_groups(re.compile("^([^_]+)_"), [windows], [windows]) == ("cy",)


@pytest.mark.parametrize("group", [float("nan"), [], np.zeros(2), np.float32("nan")])
def test_groups_that_are_none(faces, group):
    # NaN differs from itself, which would put every image into a group of its own.
    with pytest.raises(ValueError, match="`groups`"):
        ImageIndex.from_directory(faces, groups=lambda path: group)


def test_lists_of_paths(faces):
    paths = [
        faces / "real" / "001.jpg",
        str(faces / "fake" / "002.png"),
        faces / "fake" / "000.png",
    ]
    index = ImageIndex.from_paths(paths, ["real", 0, np.int64(0)], groups=["b", "a", np.str_("a")])
    assert index.paths == tuple(map(str, paths))
    assert index.labels.tolist() == [1, 0, 0]
    assert index.class_names == ("fake", "real")
    assert index.kinds == ("real", "fake", "fake")
    assert index.groups == ("b", "a", "a")
    index = ImageIndex.from_paths(
        np.array(index.paths),
        np.array([2, 0, 1]),
        list("abc"),
        kinds=["x", None, "y"],
        groups=re.compile("0."),
    )
    assert (index.kinds, index.groups) == (("x", "a", "y"), ("00", "00", "00"))
    assert index.class_names == ("a", "b", "c")
    unlabelled = ImageIndex.from_paths(path for path in paths)
    assert (unlabelled.labels, unlabelled.class_names, unlabelled.kinds) == (None, None, ("",) * 3)
    assert len(next(iter(classification_dataset(index, (4, 6))))[0]) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"paths": "a.png"}, "`paths` must be a sequence"),
        ({"paths": None}, "`paths` must be a sequence"),
        ({"paths": ["a.png", b"b.png"]}, r"`paths\[1\]` must be a path"),
        ({"paths": []}, "`paths` has problems"),
        ({"labels": ["fake"]}, "`labels` must have one item for each of the 2 paths; got 1"),
        ({"labels": ["fake", "REAL"]}, "spelt as the labels are:\n.*: label 'REAL'"),
        ({"labels": [0, 2]}, "label 2"),
        ({"labels": [0, -1]}, "label -1"),
        ({"labels": [0, True]}, "label True"),
        ({"labels": [0, float("nan")]}, "label nan"),
        ({"labels": np.eye(2)}, "label array"),
        ({"labels": [0, 0]}, "class 'real': no usable image"),
        ({"labels": [0, 1], "class_names": "ab" * 2}, "`class_names` must be"),
        ({"kinds": ["x"]}, "`kinds` must have"),
        ({"groups": ["x"]}, "`groups` must have"),
        ({"groups": ["x", None]}, "no group"),
        ({"check": "x"}, "`check`"),
    ],
)
def test_lists_that_are_wrong(faces, arguments, message):
    paths = [faces / "fake" / "000.png", faces / "real" / "000.jpg"]
    with pytest.raises(ValueError, match=message):
        ImageIndex.from_paths(**{"paths": paths, **arguments})


def test_of_a_path_that_is_listed_twice_the_first_row_stays(faces):
    paths = [faces / "fake" / "000.png", faces / "real" / "000.jpg"]
    with pytest.warns(UserWarning, match="Left out 1 of the files"):
        index = ImageIndex.from_paths(
            [*paths, paths[0]],
            ["fake", "real", "fake"],
            groups=["ann", "bob", "eve"],
            kinds=["swap", "photo", "render"],
            on_error="skip",
        )
    assert index.groups == ("ann", "bob")
    assert index.kinds == ("swap", "photo")


def test_a_class_without_images_cannot_be_balanced(faces):
    index = ImageIndex.from_directory(faces)
    with pytest.raises(ValueError, match=r"images of every class; this index is .*0 real"):
        index.take(np.flatnonzero(index.labels == 0)).balanced(seed=0)


def test_lists_are_checked_as_folders_are(faces):
    paths = [faces / "fake" / "000.png", faces / "fake" / "000.png", faces / "missing.png"]
    with pytest.warns(UserWarning, match="Left out 2 of the files of `paths`") as caught:
        index = ImageIndex.from_paths(paths, on_error="skip")
    assert len(index) == 1
    assert caught[0].filename == __file__
    assert "listed twice" in index.skipped[0][1]
    assert "No such file" in index.skipped[1][1]
