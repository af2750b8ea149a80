import runpy
import sys

import keras
import pytest


@pytest.fixture
def main(request, monkeypatch, tmp_path):
    """The script that a test module is named after, run as from a shell, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    # Scripts set the backend for their own process.
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    script = request.config.rootpath / "examples" / request.path.name.removeprefix("test_")

    def main(arguments):
        monkeypatch.setattr(sys, "argv", [script.name, *arguments])
        runpy.run_path(str(script), run_name="__main__")

    return main
