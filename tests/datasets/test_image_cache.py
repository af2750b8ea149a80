import gc
import os

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


def make(files):
    return ImageCache(files[0].parent / "cache", files, (2, 4), "uint8")


def fill(cache, count=3):
    for i, image in enumerate(images()[:count]):
        cache.put(i, image)


def test_memory(files):
    cache = ImageCache("memory", files, (2, 4), "uint8")
    fill(cache, 2)
    np.testing.assert_array_equal(cache.get(1), images()[1])
    assert cache.get(2).shape == (0,)


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
    np.testing.assert_array_equal([complete.get(i) for i in range(3)], images())


def test_others_may_read_a_file_as_the_process_allows(files):
    fill(make(files))
    (name,) = os.listdir(files[0].parent / "cache")
    mode = os.stat(files[0].parent / "cache" / name).st_mode
    assert mode == os.stat(files[0]).st_mode


def test_a_full_disk_raises(files, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", refuse, raising=False)
    with pytest.raises(OSError, match="No space left"):
        fill(make(files))


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
