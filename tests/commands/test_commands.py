import importlib
import io
import os
import pathlib
import runpy
import subprocess
import sys
import tomllib

import keras
import numpy as np
import pytest

import keras_deepfake as kd
import keras_deepfake_commands as commands
from keras_deepfake_commands import audit

ROOT = pathlib.Path(commands.__file__).parents[1]


def make_faces(folder, step):
    for place, name in enumerate(("fake", "real")):
        (folder / name).mkdir(parents=True)
        for i in range(4):
            image = np.random.default_rng(10 * i + place + step).uniform(0, 255, (16, 16, 3))
            keras.utils.save_img(folder / name / f"{i}.png", image, scale=False)


def test_entry_point_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    module, _, function = project["project"]["scripts"]["keras-deepfake"].partition(":")
    assert getattr(sys.modules[module], function) is commands.main


def test_help_waits_for_nothing_heavy():
    """All of it in one fresh process, that of the scripts too."""
    code = """
import pathlib, runpy, sys
import keras_deepfake_commands as commands
for arguments in ([name, "--help"] for name in commands.COMMANDS):
    try:
        commands.main(arguments)
    except SystemExit as end:
        assert end.code == 0
for script in sorted(pathlib.Path("examples").glob("*.py")):
    sys.argv = [script.name, "--help"]
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        assert end.code == 0
heavy = {"keras", "tensorflow", "numpy", "matplotlib", "PIL", "keras_deepfake", "keras_tuner"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    for name in commands.COMMANDS:
        assert f"usage: keras-deepfake {name} " in done.stdout
    for script in (ROOT / "examples").glob("*.py"):
        assert f"usage: {script.name} " in done.stdout


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_alone_it_lists_the_commands(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["keras-deepfake", *arguments])
    commands.main()
    printed = capsys.readouterr().out
    for name, line in commands.COMMANDS.items():
        assert f"  {name}" in printed
        assert line in printed


def test_a_command_that_is_none(capsys):
    with pytest.raises(SystemExit) as end:
        commands.main(["predikt"])
    assert end.value.code == 2
    assert "there is no command 'predikt'" in capsys.readouterr().err


def test_predict_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    encoder = keras.Sequential([keras.Input((8, 8, 3)), kd.layers.ConvBlock(2)])
    kd.models.EncoderClassifier(encoder).save("detector.keras")
    keras.utils.save_img("a.png", np.zeros((9, 9, 3)), scale=False)
    monkeypatch.setattr(sys, "argv", ["keras-deepfake", "predict", "detector.keras", "a.png"])
    runpy.run_module("keras_deepfake_commands", run_name="__main__")
    assert "1 images: " in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"^keras-deepfake predict: .*there is no file 'b\.keras'"):
        commands.main(["predict", "b.keras", "a.png"])


def test_a_missing_model_is_told_before_anything_is_imported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces").mkdir()
    for name in ("predict", "evaluate", "inspect", "export"):
        command = importlib.import_module(f"keras_deepfake_commands.{name}")
        monkeypatch.setattr(command, "run", lambda options: pytest.fail("has begun"))
        with pytest.raises(SystemExit, match=r"no file 'faces'\. .* `keras-deepfake train`"):
            commands.main([name, "faces", "out.onnx"])


def test_photographs_of_a_prediction(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    encoder = keras.Sequential([keras.Input((8, 8, 3)), kd.layers.ConvBlock(2)])
    kd.models.EncoderClassifier(encoder).save("detector.keras")
    keras.utils.save_img("a.png", np.zeros((90, 90, 3)), scale=False)
    margins = []
    points = np.array([[40.0, 40.0], [60.0, 40.0], [50.0, 60.0]])
    cropper = kd.faces.FaceCropper(face_detector=lambda photograph: [(1.0, points)])
    monkeypatch.setattr(kd.faces, "FaceCropper", lambda margin: margins.append(margin) or cropper)
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    commands.main(["predict", "detector.keras", "a.png", "--faces", "--margin", "0.3"])
    assert margins == [0.3]
    printed = capsys.readouterr().out
    assert "a.png[0]" in printed
    assert "1 photographs: " in printed


def test_audit_prints_and_writes_its_findings(tmp_path, capsys):
    make_faces(tmp_path / "train", 0)
    make_faces(tmp_path / "test", 500)
    page = tmp_path / "audit.html"
    arguments = [str(tmp_path / "train"), str(tmp_path / "test"), "--output", str(page)]
    commands.main(["audit", *arguments])
    assert "Audit: " in capsys.readouterr().out
    assert "Dataset audit" in page.read_text()
    # A copy of a training image in the test part.
    copy = (tmp_path / "train" / "fake" / "0.png").read_bytes()
    (tmp_path / "test" / "fake" / "9.png").write_bytes(copy)
    with pytest.raises(SystemExit, match=r"^keras-deepfake audit: there are errors in the data$"):
        commands.main(["audit", *arguments])
    assert "error" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="DATA names a folder twice"):
        commands.main(["audit", str(tmp_path / "train"), f"{tmp_path}/test/../train"])


def test_a_terminal_that_cannot_show_every_name(tmp_path, monkeypatch):
    make_faces(tmp_path / "ünï", 0)
    shown = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", shown)
    commands.main(["audit", str(tmp_path / "ünï"), "--output", str(tmp_path / "audit.json")])
    shown.flush()
    assert b"\\xfcn\\xef" in shown.buffer.getvalue()
    assert (tmp_path / "audit.json").exists()


def test_a_reader_that_has_enough(tmp_path):
    """As `head` has after a line."""
    code = "import keras_deepfake_commands as commands; commands.main(['inspect'])"
    code = f"from keras_deepfake_commands import inspect; inspect.run = lambda o: print(9); {code}"
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "detector.keras").write_bytes(b"")
    reading, writing = os.pipe()
    os.close(reading)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    with open(writing, "wb") as output:
        done = subprocess.run(
            command, stdout=output, stderr=subprocess.PIPE, cwd=tmp_path, env=environment
        )
    assert (done.returncode, done.stderr) == (141, b"")


def test_interrupted(monkeypatch, capsys):
    def run(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(audit, "run", run)
    with pytest.raises(SystemExit) as end:
        commands.main(["audit", "faces"])
    assert end.value.code == 130
    assert capsys.readouterr().err.strip() == "keras-deepfake audit: interrupted"
