import json

import pytest

import keras_deepfake as kd


def test_a_saved_detector_and_none(main, tmp_path, capsys):
    autoencoder = kd.ConvAutoencoder((8, 8, 3), filters=(2,))
    classifier = kd.EncoderClassifier.from_autoencoder(autoencoder)
    kd.Detector(classifier, threshold=0.25).save("detector.keras")
    main(["detector.keras", "out.tflite", "--format", "litert"])
    assert "column 0 is P(fake), fake from 0.25" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.tflite.json").read_text())["threshold"] == 0.25
    with pytest.raises(SystemExit, match=r"^export_detector\.py: .* is there already[^\n]*$"):
        main(["detector.keras", "out.tflite", "--format", "litert"])
    main(["out.tflite", "--format", "litert", "--overwrite"])
    assert json.loads((tmp_path / "out.tflite.json").read_text())["threshold"] == 0.5


def test_mistakes_end_in_one_line(main):
    with pytest.raises(SystemExit, match=r"^export_detector\.py: there is no file [^\n]*\.$"):
        main(["missing.keras", "out.onnx"])
