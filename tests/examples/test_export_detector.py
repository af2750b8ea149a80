import json
import runpy
import sys

import pytest

import keras_deepfake as kd


@pytest.fixture
def run(pytestconfig, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        script = pytestconfig.rootpath / "examples" / "export_detector.py"
        monkeypatch.setattr(sys, "argv", [script.name, *arguments])
        runpy.run_path(str(script), run_name="__main__")

    return run


def test_a_saved_detector_and_none(run, tmp_path, capsys):
    autoencoder = kd.ConvAutoencoder((8, 8, 3), filters=(2,))
    classifier = kd.EncoderClassifier.from_autoencoder(autoencoder)
    kd.Detector(classifier, threshold=0.25).save("detector.keras")
    run("detector.keras", "out.tflite", "--format", "litert")
    assert "column 0 is P(fake), fake from 0.25" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.tflite.json").read_text())["threshold"] == 0.25
    with pytest.raises(SystemExit, match=r"^export_detector\.py: .* is there already[^\n]*$"):
        run("detector.keras", "out.tflite", "--format", "litert")
    run("out.tflite", "--format", "litert", "--overwrite")
    assert json.loads((tmp_path / "out.tflite.json").read_text())["threshold"] == 0.5


def test_mistakes_end_in_one_line(run):
    with pytest.raises(SystemExit, match=r"^export_detector\.py: there is no file [^\n]*\.$"):
        run("missing.keras", "out.onnx")
