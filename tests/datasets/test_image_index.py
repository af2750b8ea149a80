import contextlib
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
        _headers=np.zeros((len(labels), 3), "int64"),
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
