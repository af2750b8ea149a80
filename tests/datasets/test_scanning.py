import contextlib
import os
import pathlib
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_deepfake.datasets import ImageIndex, classification_dataset
from tests.datasets.small_folders import fill, names


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


def test_whatever_jpeg_is_called(tmp_path):
    for suffix in (".jfif", ".jpe", ".JPE"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"a{suffix}", "JPEG")
    assert len(ImageIndex.from_directory(tmp_path, class_names=None)) == 3


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
