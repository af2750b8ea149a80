"""A training that cannot write its state says so, and loses nothing."""

import os
import resource
import signal

import keras
import pytest

import keras_deepfake as kd
from keras_deepfake._locks import hold_lock
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


def test_two_processes_on_one_folder(tmp_path):
    faces = kd.datasets.synthetic_faces(80, (32, 32))
    for number, (image, fake) in enumerate(zip(faces.images, faces.labels[:, 0], strict=True)):
        folder = tmp_path / "faces" / ("fake" if fake else "real")
        folder.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(folder / f"{number}.png", image, scale=False)
    index = kd.datasets.ImageIndex.from_directory(tmp_path / "faces")
    with hold_lock(tmp_path / ".out.lock"), pytest.raises(ValueError, match="Another process"):
        kd.recipes.train_detector(index, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
