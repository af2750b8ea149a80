import errno
import os
import subprocess
import sys
import types

import pytest

from keras_deepfake import _locks
from keras_deepfake._locks import FileLock

HOLD = """
import sys, time
from keras_deepfake._locks import FileLock
lock = FileLock(sys.argv[1])
print("held", flush=True)
time.sleep(100)
"""


def holder(path):
    environment = {**os.environ, "KERAS_BACKEND": "jax"}  # imported sooner than TensorFlow
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_one_holder_at_a_time(tmp_path):
    path = tmp_path / "run.lock"
    with FileLock(path), pytest.raises(ValueError, match=r"Another process .*run\.lock"):
        FileLock(str(path))
    assert list(tmp_path.iterdir()) == []
    lock = FileLock(path)
    del lock
    FileLock(path).release()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"file'$"):
        FileLock(tmp_path / "file" / ".run.lock")


def test_it_dies_with_its_process(tmp_path):
    path = tmp_path / "run.lock"
    process = holder(path)
    try:
        with pytest.raises(ValueError, match="Another process"):
            FileLock(path)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert path.exists()
    FileLock(path).release()
    assert not path.exists()


def test_a_file_removed_between_opening_and_locking(tmp_path, monkeypatch):
    path, lock, removed = tmp_path / "run.lock", _locks._lock, []

    def slow_lock(descriptor, path):
        if not removed:
            removed.append(path.unlink())
        return lock(descriptor, path)

    monkeypatch.setattr(_locks, "_lock", slow_lock)
    with FileLock(path):
        assert path.exists()


def test_wrong_paths(tmp_path):
    with pytest.raises(ValueError, match="`path` must be a path"):
        FileLock(None)
    with pytest.raises(FileNotFoundError):
        FileLock(tmp_path / "missing" / "run.lock")


def test_file_system_without_locks(tmp_path, monkeypatch):
    def flock(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.warns(UserWarning, match=r"run\.lock' knows no locks"):
        FileLock(tmp_path / "run.lock").release()


def test_windows(tmp_path, monkeypatch):
    held = []

    def locking(descriptor, mode, count):
        if held:
            raise OSError(errno.EACCES, "Permission denied")
        held.append(descriptor)

    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(locking=locking, LK_NBLCK=2))
    path = tmp_path / "run.lock"
    with FileLock(path), pytest.raises(ValueError, match="Another process"):
        FileLock(path)
    assert not path.exists()
