import csv
import errno
import sys
import types

import keras
import pytest

from keras_deepfake.recipes import _tables


def test_history_of_stages(tmp_path):
    histories = {"first": {"loss": [2.0, 1.0]}, "second": {"loss": [3.0], "accuracy": [0.5]}}
    _tables.write_history(histories, tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="") as file:
        assert list(csv.reader(file)) == [
            ["stage", "epoch", "accuracy", "loss"],
            ["first", "1", "", "2.0"],
            ["first", "2", "", "1.0"],
            ["second", "1", "0.5", "3.0"],
        ]


@pytest.mark.parametrize(("platform", "expected"), [("linux", 2**30), ("darwin", 2**20)])
def test_peak_memory_in_the_unit_of_the_platform(platform, expected, monkeypatch):
    resource = types.SimpleNamespace(
        RUSAGE_SELF=0, getrusage=lambda who: types.SimpleNamespace(ru_maxrss=2**20)
    )
    monkeypatch.setitem(sys.modules, "resource", resource)
    monkeypatch.setattr(sys, "platform", platform)
    assert _tables.peak_memory() == expected


def test_peak_memory_is_unknown_on_windows(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert _tables.peak_memory() is None


def test_full_disk_is_told_with_the_path(tmp_path, monkeypatch):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])

    def save(self, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(keras.Model, "save", save)
    with pytest.raises(OSError, match=r"No space left on device.*model\.keras"):
        _tables.save_model(model, tmp_path / "model.keras")
