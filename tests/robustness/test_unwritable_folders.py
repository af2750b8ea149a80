"""A training that cannot write its state says so, and loses nothing."""

import os
import resource
import signal

import pytest

import keras_deepfake as kd
from keras_deepfake._locks import FileLock
from tests.callbacks.test_resume_file import fit, plain_model


def test_full_disk(tmp_path):
    """A limit on the size of files stands for the disk, which no privilege lifts."""
    path = tmp_path / "resume.state"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match=r"resume\.state"):
            fit(plain_model(), path, epochs=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_nobody_can_write(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        fit(plain_model(), tmp_path / "file" / "resume.state", epochs=1)


@pytest.mark.parametrize("train", [kd.recipes.train_study, kd.recipes.train_detector])
def test_two_processes_on_one_folder(tmp_path, train):
    """The second is told before it draws the synthetic faces of a run without data."""
    with FileLock(tmp_path / ".out.lock"), pytest.raises(ValueError, match="Another process"):
        train(output=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
