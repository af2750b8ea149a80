import csv
import runpy
import sys

import keras
import numpy as np
import pytest

import keras_deepfake as kd


@pytest.fixture
def run(pytestconfig, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        script = pytestconfig.rootpath / "examples" / "predict_folder.py"
        monkeypatch.setattr(sys, "argv", [script.name, *arguments])
        runpy.run_path(str(script), run_name="__main__")

    return run


def test_folder_to_csv(run, tmp_path, capsys):
    encoder = keras.Sequential([keras.Input((8, 8, 3)), kd.layers.ConvBlock(2)])
    kd.models.EncoderClassifier(encoder).save("detector.keras")
    (tmp_path / "faces" / "inner").mkdir(parents=True)
    keras.utils.save_img("faces/inner/a.png", np.zeros((9, 9, 3)), scale=False)
    (tmp_path / "faces" / "b.jpg").write_bytes(b"no image")
    run("detector.keras", "faces", "--output", "out.csv", "--threshold", "0.4")
    assert "2 files: 1 fake, 0 real, 1 unreadable" in capsys.readouterr().out
    with open("out.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["path", "fake", "real", "verdict", "error"]
    assert rows[1] == ["faces/b.jpg", "", "", "", "not an image"]
    assert rows[2][0] == "faces/inner/a.png"
    assert float(rows[2][1]) + float(rows[2][2]) == pytest.approx(1, abs=1e-5)

    run("detector.keras", "faces")
    assert "faces/inner/a.png  0." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.keras", "faces"], "no such model file: missing.keras"),
        (["model.txt", "faces"], "model.txt is not a Keras model"),
        (["ok.keras", "faces"], "no images in faces"),
        (["ok.keras", "missing"], "none of the 1 files"),
        (["ok.keras", "faces", "--threshold", "7"], "`threshold` must be a probability"),
        (["ok.keras", "faces", "--output", "nowhere/out.csv"], "no such folder for --output"),
    ],
)
def test_mistakes_end_in_one_line(arguments, message, run, tmp_path):
    (tmp_path / "faces").mkdir()
    (tmp_path / "model.txt").write_text("no model")
    if "ok.keras" in arguments:
        encoder = keras.Sequential([keras.Input((8, 8, 3)), kd.layers.ConvBlock(2)])
        kd.models.EncoderClassifier(encoder).save("ok.keras")
    with pytest.raises(SystemExit, match=rf"^error: .*{message}[^\n]*$"):
        run(*arguments)
