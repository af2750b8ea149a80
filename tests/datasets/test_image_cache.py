import contextlib
import gc
import io
import os
import time

import numpy as np
import pytest

from keras_deepfake.datasets._image_cache import ImageCache


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path in paths:
        path.write_bytes(b"image")
    return paths


def images():
    return np.random.default_rng(0).integers(0, 256, (3, 2, 4, 3)).astype("uint8")


def scaled():
    return images() / np.float32(255)


def make(files):
    return ImageCache(files[0].parent / "cache", files, (2, 4), "uint8")


def fill(cache, count=3):
    cache.put(np.arange(count), images()[:count])


def served(cache, *places):
    return cache.get(np.array(places))


def test_memory(files):
    cache = ImageCache("memory", files, (2, 4), "uint8")
    fill(cache, 2)
    np.testing.assert_array_equal(served(cache, 1, 0), scaled()[[1, 0]])
    assert served(cache, 1, 2).shape == (0, 2, 4, 3)


def test_a_half_written_file_is_never_served(files):
    half = make(files)
    fill(half, 2)
    folder = files[0].parent / "cache"
    assert len(os.listdir(folder)) == 1
    other = make(files)
    assert not other.present.any()
    # Both may go on; the second to end puts the same file in place again.
    fill(other)
    fill(other)
    fill(half)
    (name,) = os.listdir(folder)
    assert name.endswith(".npy")
    complete = make(files)
    np.testing.assert_array_equal(served(complete, 0, 1, 2), scaled())


def test_others_may_read_a_file_as_the_process_allows(files):
    fill(make(files))
    (name,) = os.listdir(files[0].parent / "cache")
    mode = os.stat(files[0].parent / "cache" / name).st_mode
    assert mode == os.stat(files[0]).st_mode


@contextlib.contextmanager
def full_disk():
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_raises(files):
    cache = make(files)
    with full_disk(), pytest.raises(OSError, match=r"in writing.*\.npy"):
        fill(cache)
    fill(cache)
    np.testing.assert_array_equal(served(cache, 0, 1, 2), scaled())


def test_a_full_disk_keeps_nothing_unfinished(files):
    cache = make(files)
    folder = os.path.dirname(cache.path)
    with full_disk():
        with pytest.raises(OSError, match="in writing"):
            fill(cache)
        del cache
        gc.collect()
        assert not os.listdir(folder)


def flip(contents, position):
    return contents[:position] + bytes([contents[position] ^ 1]) + contents[position + 1 :]


DAMAGES = {
    "pixel of the first image": lambda contents: flip(contents, len(contents) - 70),
    "pixel of the last image": lambda contents: flip(contents, len(contents) - 1),
    "checksum": lambda contents: flip(contents, len(contents) - 28),
    "layout": lambda contents: contents.replace(b"(2, 4, 3)", b"(4, 2, 3)"),
    "dtype": lambda contents: contents.replace(b"|u1", b"|i1"),
    "header": lambda contents: flip(contents, 20),
    "magic": lambda contents: flip(contents, 0),
    "version": lambda contents: flip(contents, 6),
    "two images swapped": lambda contents: (
        contents[:-84] + contents[-56:-28] + contents[-84:-56] + contents[-28:]
    ),
    "truncated": lambda contents: contents[:-1],
    "empty": lambda contents: b"",
    "zeros": lambda contents: bytes(len(contents)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_anew(files, damage):
    fill(make(files))
    (path,) = (files[0].parent / "cache").iterdir()
    contents = path.read_bytes()
    path.write_bytes(DAMAGES[damage](contents))
    assert path.read_bytes() != contents

    def serve():
        cache = make(files)
        return cache, [served(cache, i) for i in range(3)]

    with pytest.warns(UserWarning, match=r"\.npy.* is damaged .* made anew"):
        cache, found = serve()
    for image, expected in zip(found, scaled(), strict=True):
        assert image.size == 0 or (image == expected).all()
    fill(cache)
    assert path.read_bytes() == contents
    np.testing.assert_array_equal(served(make(files), 0, 1, 2), scaled())


def test_what_a_killed_process_left_is_removed_a_day_later(files):
    writing = make(files)
    fill(writing, 1)
    folder = files[0].parent / "cache"
    (own,) = os.listdir(folder)
    for hours in (23, 25):
        leftover = folder / f"{writing.digest}.npy.{hours}.tmp"
        leftover.write_bytes(b"half")
        os.utime(leftover, times=(time.time() - 3600 * hours,) * 2)
    fill(make(files), 1)
    assert sorted(os.listdir(folder)) == sorted([own, f"{writing.digest}.npy.23.tmp"])


def test_another_data_set_under_the_same_name(files, tmp_path):
    fill(make(files))
    (path,) = (tmp_path / "cache").iterdir()
    other = ImageCache(tmp_path / "cache", files[::-1], (2, 4), "uint8")
    os.replace(path, other.path)
    with pytest.warns(UserWarning, match="a checksum differs"):
        found = served(ImageCache(tmp_path / "cache", files[::-1], (2, 4), "uint8"), 0)
    assert found.size == 0


def test_an_unfinished_file_serves_what_it_has(files):
    cache = make(files)
    cache.put(np.array([2, 0]), images()[[2, 0]])
    np.testing.assert_array_equal(served(cache, 2), scaled()[[2]])
    assert served(cache, 1).size == 0


@pytest.fixture
def windows(monkeypatch):
    """Refuses to replace or remove what is open or mapped, as Windows does."""
    replace = os.replace

    def refuse(source, target):
        for used in gc.get_objects():
            if isinstance(used, np.memmap) and used.filename is not None:
                names = os.fspath(used.filename)
            elif isinstance(used, io.BufferedRandom) and not used.closed:
                names = used.name
            else:
                continue
            if names in (source, target):
                raise PermissionError(13, "The process cannot access the file", source)
        replace(source, target)

    monkeypatch.setattr("os.replace", refuse)


@pytest.mark.usefixtures("windows")
def test_a_file_is_put_in_place_where_no_open_file_can_be_renamed(files):
    first, second = make(files), make(files)
    fill(first)
    np.testing.assert_array_equal(served(first, 0, 1, 2), scaled())
    # The first still maps the file that the second would replace.
    fill(second)
    np.testing.assert_array_equal(served(second, 0, 1, 2), scaled())
    assert len(os.listdir(files[0].parent / "cache")) == 1


def test_an_abandoned_file_is_removed(files):
    half = make(files)
    fill(half, 2)
    del half
    gc.collect()
    assert os.listdir(files[0].parent / "cache") == []


def test_a_file_is_served_only_for_what_it_was_made_from(files):
    fill(make(files))
    assert make(files).present.all()
    assert not make(files[::-1]).present.any()
    assert not make(files[:2]).present.any()
    place = files[0].parent / "cache"
    assert not ImageCache(place, files, (4, 2), "uint8").present.any()
    assert not ImageCache(place, files, (2, 4), "float32").present.any()
    status = os.stat(files[1])
    os.utime(files[1], ns=(status.st_atime_ns, status.st_mtime_ns + 1000))
    assert not make(files).present.any()
    os.utime(files[1], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert make(files).present.all()
    files[2].write_bytes(b"longer image")
    os.utime(files[2], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not make(files).present.any()
