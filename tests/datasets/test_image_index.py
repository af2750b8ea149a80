import contextlib
import json
import os
import pathlib
import pickle
import random
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_deepfake._groups import find_groups
from keras_deepfake.datasets import ImageIndex, _splitting, classification_dataset


def fill(folder, count, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", (6, 4), (i % 256, 0, 0)).save(folder / f"{i:03d}{suffix}")


@pytest.fixture
def faces(tmp_path):
    fill(tmp_path / "fake", 12)
    fill(tmp_path / "real", 20, ".jpg")
    return tmp_path


@pytest.fixture
def peak_memory():
    @contextlib.contextmanager
    def watch(limit):
        def read(field):
            with open("/proc/self/status") as status:
                return int(re.search(rf"{field}:\s+(\d+) kB", status.read())[1]) * 1024

        with open("/proc/self/clear_refs", "w") as peak:
            peak.write("5")
        before = read("VmRSS")
        yield
        assert read("VmHWM") - before < limit

    return watch


def stub(counts, groups=None):
    """An index without files, to test splits of any size."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return ImageIndex(
        paths=tuple(f"{i}.jpg" for i in range(len(labels))),
        labels=labels,
        class_names=tuple(f"class{i}" for i in range(len(counts))),
        kinds=("",) * len(labels),
        groups=groups,
        skipped=(),
        headers=np.zeros((len(labels), 3), "int64"),
    )


def names(index):
    return [pathlib.Path(path).name for path in index.paths]


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


def test_what_systems_leave_is_ignored(faces):
    for name in (".DS_Store", "Thumbs.db", "._000.png", "desktop.ini"):
        (faces / "fake" / name).write_bytes(b"x")
    fill(faces / "fake" / ".thumbnails", 2)
    assert len(ImageIndex.from_directory(faces)) == 32


def test_what_disks_and_archives_leave_is_ignored(faces):
    for name in ("@eaDir/000.jpg", "@eaDir", "__MACOSX", "$RECYCLE.BIN", "#recycle", "lost+found"):
        fill(faces / "real" / name, 1)
    assert len(ImageIndex.from_directory(faces)) == 32


def break_files(faces):
    """Adds one file of every bad kind; returns the file's name and a part of its reason."""
    fake = faces / "fake"
    jpeg = (faces / "real" / "000.jpg").read_bytes()
    png = (fake / "000.png").read_bytes()
    (fake / "empty.jpg").write_bytes(b"")
    (fake / "notes.txt").write_text("x")
    (fake / "no_extension").write_text("x")
    (fake / "text.png").write_text("this is no image")
    (fake / "cut.jpg").write_bytes(jpeg[:-40])
    (fake / "cut_in_header.jpg").write_bytes(jpeg[:100])
    (fake / "padded.jpg").write_bytes(jpeg[:-40] + bytes(40))
    (fake / "cut.png").write_bytes(png[:-15])
    (fake / "flipped.png").write_bytes(png[:45] + bytes([png[45] ^ 255]) + png[46:])
    for extension in ("gif", "bmp", "webp", "tif"):
        path = fake / f"cut.{extension}"
        noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype("uint8")
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:-200])
    os.link(faces / "real" / "001.jpg", faces / "real" / "hard_link.jpg")
    os.symlink(faces / "real" / "002.jpg", faces / "real" / "soft_link.jpg")
    os.symlink(faces / "nowhere.jpg", faces / "real" / "dangling.jpg")
    os.symlink(faces / "real" / "itself.jpg", faces / "real" / "itself.jpg")
    os.mkfifo(faces / "real" / "pipe.jpg")
    return {
        "empty.jpg": "zero bytes",
        "notes.txt": "unknown extension '.txt'",
        "no_extension": "unknown extension ''",
        "text.png": "not an image",
        "cut.jpg": "truncated",
        "cut_in_header.jpg": "truncated",
        "padded.jpg": "truncated",
        "cut.png": "truncated",
        "flipped.png": "damaged",
        "cut.gif": "truncated",
        "cut.bmp": "truncated",
        "cut.webp": "truncated or damaged",
        "cut.tif": "truncated",
        "hard_link.jpg": "the same file as",
        "soft_link.jpg": "the same file as",
        "dangling.jpg": "unreadable: No such file",
        "itself.jpg": "unreadable: Too many levels of symbolic links",
        "pipe.jpg": "not a regular file",
    }


def test_all_problems_are_reported_at_once(faces):
    expected = break_files(faces)
    with pytest.raises(ValueError, match="has problems") as caught:
        ImageIndex.from_directory(faces)
    for name, reason in expected.items():
        assert re.search(rf"{re.escape(name)}: .*{re.escape(reason)}", str(caught.value)), name
    assert 'on_error="skip"' in str(caught.value)


def test_problems_can_be_skipped(faces):
    expected = break_files(faces)
    with pytest.warns(UserWarning, match=f"Left out {len(expected)} of"):
        index = ImageIndex.from_directory(faces, on_error="skip")
    assert len(index) == 32
    skipped = {pathlib.Path(path).name: reason for path, reason in index.skipped}
    assert skipped.keys() == expected.keys()
    assert all(expected[name] in reason for name, reason in skipped.items())
    assert f"{len(expected)} files skipped" in repr(index)
    assert index.balanced(seed=0).skipped == index.skipped


def test_long_reports_are_capped(faces):
    for i in range(30):
        (faces / "real" / f"{i}.txt").write_text("x")
    with pytest.raises(ValueError, match="and 10 more, 30 in all") as caught:
        ImageIndex.from_directory(faces)
    assert str(caught.value).count("unknown extension") == 20


def test_unreadable_files_and_folders(faces, monkeypatch):
    # Permissions do not stop an administrator, under whom tests may run.
    (faces / "fake" / "closed").mkdir()

    def refuse(function):
        def guarded(path, *args, **kwargs):
            if str(path).endswith(("closed", "003.png")):
                raise PermissionError(13, "Permission denied")
            return function(path, *args, **kwargs)

        return guarded

    monkeypatch.setattr("builtins.open", refuse(open))
    monkeypatch.setattr("os.scandir", refuse(os.scandir))
    with pytest.warns(UserWarning, match="Left out 2 of"):
        index = ImageIndex.from_directory(faces, on_error="skip")
    assert [reason for _, reason in index.skipped] == ["unreadable: Permission denied"] * 2


def test_one_file_under_two_labels_is_left_out_whole(faces):
    os.link(faces / "fake" / "000.png", faces / "real" / "000.png")
    with pytest.warns(UserWarning, match="the same file as"):
        index = ImageIndex.from_directory(faces, on_error="skip")
    assert "000.png" not in names(index)


def test_linked_folders(faces, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    fill(elsewhere, 3)
    os.symlink(elsewhere, faces / "fake" / "gan", target_is_directory=True)
    os.symlink(faces / "fake", faces / "fake" / "loop", target_is_directory=True)
    index = ImageIndex.from_directory(faces)
    assert index.kinds.count("gan") == 3
    assert len(index) == 35


def test_a_link_to_a_folder_above_is_a_problem(faces):
    for i, target in enumerate(("/", faces.parent, faces)):
        os.symlink(target, faces / "real" / f"up{i}", target_is_directory=True)
    with pytest.warns(UserWarning, match="Left out 3 of"):
        index = ImageIndex.from_directory(faces, on_error="skip")
    assert len(index) == 32
    assert {reason for _, reason in index.skipped} == {"a link to a folder that holds this one"}


def test_linked_folders_are_read_once(tmp_path):
    # Each of the seven links to each other: 13 692 ways lead through them.
    for i in range(7):
        fill(tmp_path / str(i), 1)
        for j in range(7):
            os.symlink(tmp_path / str(j), tmp_path / str(i) / f"to{j}", target_is_directory=True)
    # The link comes first by name.
    os.symlink(tmp_path / "3", tmp_path / "0link", target_is_directory=True)
    index = ImageIndex.from_directory(tmp_path, class_names=None)
    assert index.kinds == tuple("0123456")


def test_folders_of_any_depth(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(1010):
        os.mkdir("d")
        os.chdir("d")
    try:
        fill(pathlib.Path(), 1)
        assert len(ImageIndex.from_directory(tmp_path, class_names=None)) == 1
    finally:
        # What removes temporary folders stops at such a depth.
        os.remove("000.png")
        for _ in range(1010):
            os.chdir("..")
            os.rmdir("d")


def header(width, height, depth=8):
    """A PNG of that size by its header, with no pixels to speak of."""
    chunks = b""
    for name, body in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(100))),
        (b"IEND", b""),
    ):
        crc = struct.pack(">I", zlib.crc32(name + body))
        chunks += struct.pack(">I", len(body)) + name + body + crc
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_huge_images_are_refused_by_their_headers(tmp_path, peak_memory):
    (tmp_path / "bomb.png").write_bytes(header(9400, 9400, 16))
    (tmp_path / "long.png").write_bytes(header(89_000_000, 1))
    (tmp_path / "tall.png").write_bytes(header(1, 70_000))
    side = struct.pack("<I", 16382 | 16382 << 14)
    chunk = b"VP8L" + struct.pack("<I", 106) + b"/" + side + bytes(101)
    (tmp_path / "bomb.webp").write_bytes(
        b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
    )
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.tif", compression="group4")
    for name, start in (("sparse.jpg", b"\xff\xd8\xff"), ("sparse.png", header(8, 8))):
        with open(tmp_path / name, "wb") as file:
            file.write(start)
            file.truncate(3 * 2**30)
    for path in sorted(tmp_path.iterdir()):
        with peak_memory(2**26), pytest.raises(ValueError, match="too large to be decoded safely"):
            ImageIndex.from_paths([path])


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


def test_whatever_jpeg_is_called(tmp_path):
    for suffix in (".jfif", ".jpe", ".JPE"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"a{suffix}", "JPEG")
    assert len(ImageIndex.from_directory(tmp_path, class_names=None)) == 3


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


@pytest.mark.parametrize(
    ("counts", "fractions", "sizes"),
    [
        ((5000, 5000), (0.7, 0.15, 0.15), (7000, 1500, 1500)),
        ((3000, 3000), (0.8, 0.1, 0.1), (4800, 600, 600)),
        ((71, 29), (0.29, 0.71), (29, 71)),
        ((15, 15), (1 / 3, 1 / 3, 1 / 3), (10, 10, 10)),
        ((2, 2, 1), (0.5, 0.5), (3, 2)),
    ],
)
def test_split_sizes_are_exact(counts, fractions, sizes):
    index = stub(counts)
    parts = index.split(fractions, seed=0)
    assert tuple(map(len, parts)) == sizes
    assert sorted(path for part in parts for path in part.paths) == sorted(index.paths)
    for part, fraction in zip(parts, fractions, strict=True):
        share = np.bincount(part.labels, minlength=len(counts)) - np.array(counts) * fraction
        assert np.abs(share).max() < 1


def test_sizes_are_largest_remainders_for_any_counts():
    rng = np.random.default_rng(0)
    for _ in range(300):
        counts = rng.integers(0, 30, rng.integers(1, 5)) + 1
        fractions = rng.dirichlet(np.ones(rng.integers(2, 6)))
        cells = _splitting.allocate(counts.tolist(), fractions)
        assert cells.sum(axis=1).tolist() == counts.tolist()
        exact = counts.sum() * fractions
        sizes = np.floor(exact)
        sizes[np.argsort(sizes - exact)[: int(counts.sum() - sizes.sum())]] += 1
        assert cells.sum(axis=0).tolist() == sizes.tolist()
        assert np.abs(cells - np.outer(counts, fractions)).max() < 1


def test_split_without_stratification():
    splits = [stub((50, 50)).split((0.5, 0.5), seed=i, stratify=False) for i in range(5)]
    assert all([len(part) for part in parts] == [50, 50] for parts in splits)
    assert {int(parts[0].labels.sum()) for parts in splits} != {25}


def test_seeds():
    index = stub((50, 50))
    for draw in (
        lambda seed: index.split((0.5, 0.5), seed=seed)[0].paths,
        lambda seed: index.subset(0.5, seed=seed).paths,
        lambda seed: index.balanced(seed=seed).paths,
    ):
        assert draw(0) == draw(0)
        assert draw(0) != draw(1)
        assert list(draw(0)) != sorted(draw(0))
    # Written down, so that no release of NumPy or of the library changes a split unseen.
    assert names(index.subset(0.04, seed=7)) == ["96.jpg", "98.jpg", "6.jpg", "37.jpg"]
    for seed in (-1, 0.5, None, True):
        with pytest.raises(ValueError, match="seed"):
            index.subset(0.5, seed=seed)


def test_the_listing_order_does_not_matter(faces, monkeypatch):
    expected = ImageIndex.from_directory(faces).split((0.5, 0.5), seed=3)
    scandir = os.scandir

    def shuffled(path):
        entries = list(scandir(path))
        random.Random(str(path)).shuffle(entries)
        return entries

    monkeypatch.setattr("os.scandir", shuffled)
    found = ImageIndex.from_directory(faces).split((0.5, 0.5), seed=3)
    assert [part.paths for part in found] == [part.paths for part in expected]


def test_balanced_and_subset():
    index = stub((30, 100))
    balanced = index.balanced(seed=0)
    assert np.bincount(balanced.labels).tolist() == [30, 30]
    assert len(set(balanced.paths)) == 60
    subset = index.subset(0.3, seed=0)
    assert np.bincount(subset.labels).tolist() == [9, 30]
    assert sorted(index.subset(1, seed=0).paths) == sorted(index.paths)
    for fraction in (0, -0.1, 1.1):
        with pytest.raises(ValueError, match="fraction"):
            index.subset(fraction, seed=0)
    with pytest.raises(ValueError, match="less than one image"):
        index.subset(0.001, seed=0)


@pytest.mark.parametrize("fractions", [(0.5, 0.4), (1.5, -0.5), (0.5, 0.5, 0.0), 1.0])
def test_bad_fractions(fractions):
    with pytest.raises(ValueError, match="sum"):
        stub((10, 10)).split(fractions, seed=0)


def test_empty_parts():
    with pytest.raises(ValueError, match=r"part of 0\.01 empty: there are only 20 images"):
        stub((10, 10)).split((0.99, 0.01), seed=0)
    with pytest.raises(ValueError, match="20 images in 2 groups"):
        stub((20,), groups=("a",) * 5 + ("b",) * 15).split((0.4, 0.3, 0.3), seed=0)


def test_parts_of_one_class():
    with pytest.raises(ValueError, match=r"part of 0\.1 with images of 'class1' only") as caught:
        stub((2, 20)).split((0.8, 0.1, 0.1), seed=0)
    assert "2 class0, 20 class1" in str(caught.value)
    # One group alone has fakes.
    index = stub((10, 30), groups=("a",) * 10 + tuple(range(30)))
    with pytest.raises(ValueError, match=r"'class1' only.*smaller groups"):
        index.split((0.5, 0.5), seed=0)
    with pytest.raises(ValueError, match="stratify=True"):
        stub((1, 99)).split((0.99, 0.01), seed=1, stratify=False)
    # Nothing else is to be had of an index of one class, or without labels.
    assert [len(part) for part in stub((8,)).split((0.5, 0.5), seed=0)] == [4, 4]
    assert [len(part) for part in stub((8, 0)).split((0.5, 0.5), seed=0)] == [4, 4]
    with pytest.raises(ValueError, match=r"part of 0\.1 "):
        stub((0, 3, 3, 30)).split((0.1, 0.1, 0.8), seed=0)


def test_splits_share_no_group():
    rng = np.random.default_rng(0)
    for seed in range(20):
        # Persons with about as many fakes as reals, of very different sizes.
        people = rng.integers(0, 60, 1000) ** 2 % 53
        index = stub((500, 500), groups=tuple(int(p) for p in people))
        largest = np.bincount(people).max()
        parts = index.split((0.7, 0.15, 0.15), seed=seed)
        assert sum(map(len, parts)) == 1000
        for part, fraction in zip(parts, (0.7, 0.15, 0.15), strict=True):
            assert abs(len(part) - 1000 * fraction) <= largest
            assert abs(part.labels.mean() - 0.5) < 0.1
        groups = [set(part.groups) for part in parts]
        assert len(set.union(*groups)) == sum(map(len, groups))
    assert set(index.split((0.5, 0.5), seed=1)[0].groups) != set(
        index.split((0.5, 0.5), seed=2)[0].groups
    )


def test_groups_of_one_class_are_stratified():
    # Every group is wholly fake or wholly real, in unequal numbers.
    index = stub((200, 600), groups=tuple(i // 4 for i in range(800)))
    for part, size in zip(index.split((0.5, 0.25, 0.25), seed=0), (400, 200, 200), strict=True):
        assert abs(len(part) - size) <= 4
        assert abs((part.labels == 0).sum() - size / 4) <= 4


def test_every_part_has_both_classes_where_the_groups_allow():
    for count in (2, 3, 8):
        index = stub((5 * count, 5 * count), groups=tuple(i // 5 for i in range(10 * count)))
        fractions = (0.8, 0.1, 0.1) if count > 2 else (0.8, 0.2)
        for seed in range(10):
            parts = index.split(fractions, seed=seed)
            assert sum(map(len, parts)) == len(index)
            assert all(set(part.labels) == {0, 1} for part in parts)


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


def test_lists_are_checked_as_folders_are(faces):
    paths = [faces / "fake" / "000.png", faces / "fake" / "000.png", faces / "missing.png"]
    with pytest.warns(UserWarning, match="Left out 2 of the files of `paths`") as caught:
        index = ImageIndex.from_paths(paths, on_error="skip")
    assert len(index) == 1
    assert caught[0].filename == __file__
    assert "listed twice" in index.skipped[0][1]
    assert "No such file" in index.skipped[1][1]


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


def damage_tables(path):
    contents = path.read_bytes()
    tables = contents.index(b"\xff\xc4") + 4
    path.write_bytes(contents[:tables] + b"\xff" * 16 + contents[tables + 16 :])


def test_pixels_are_checked_beforehand(faces, capsys):
    damage_tables(faces / "real" / "003.jpg")
    Image.new("RGB", (5, 5)).save(faces / "real" / "other.webp")
    assert len(ImageIndex.from_directory(faces)) == 33
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match=r"003\.jpg: .*damaged"):
        ImageIndex.from_directory(faces, check="pixels")
    assert "33/33" in capsys.readouterr().out
    with pytest.warns(UserWarning, match="Left out 1 of"):
        index = ImageIndex.from_directory(faces, check="pixels", on_error="skip", verbose=0)
    assert len(index) == 32
    assert capsys.readouterr().out == ""
    for size in ((4, 6), (3, 3)):
        assert sum(len(x) for x, _ in classification_dataset(index, size)) == 32
