import csv

import keras
import numpy as np
import pytest

import keras_deepfake as kd


def test_folder_to_csv(main, tmp_path, capsys):
    encoder = keras.Sequential([keras.Input((8, 8, 3)), kd.layers.ConvBlock(2)])
    kd.models.EncoderClassifier(encoder).save("detector.keras")
    (tmp_path / "faces" / "inner").mkdir(parents=True)
    keras.utils.save_img("faces/inner/a.png", np.zeros((9, 9, 3)), scale=False)
    (tmp_path / "faces" / "b.jpg").write_bytes(b"no image")
    main(["detector.keras", "faces", "--output", "out.csv", "--threshold", "0.4"])
    assert "2 images: 1 fake, 0 real, 1 not readable; called fake from" in capsys.readouterr().out
    with open("out.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["path", "fake", "real", "verdict", "error"]
    assert rows[1] == ["faces/b.jpg", "", "", "", "not an image"]
    assert rows[2][0] == "faces/inner/a.png"
    assert float(rows[2][1]) + float(rows[2][2]) == pytest.approx(1, abs=1e-5)

    main(["detector.keras", "faces"])
    assert "faces/inner/a.png  0." in capsys.readouterr().out


def test_a_detector_that_abstains(main, capsys):
    """Of an untrained head both probabilities are 0.5."""
    encoder = keras.Sequential([keras.Input((8, 8, 3)), kd.layers.ConvBlock(2)])
    classifier = kd.models.EncoderClassifier(encoder)
    classifier.layers[-1].set_weights(
        [0 * weight for weight in classifier.layers[-1].get_weights()]
    )
    kd.models.Detector(classifier, conformal_bounds=(0.4, 0.6)).save("detector.keras")
    keras.utils.save_img("a.png", np.zeros((9, 9, 3)), scale=False)
    main(["detector.keras", "a.png", "--output", "out.csv"])
    summary = "1 images: 0 fake, 0 real, 1 unsure; unsure at probabilities of being fake from 0.4"
    assert summary in capsys.readouterr().out
    with open("out.csv", newline="") as file:
        assert next(csv.DictReader(file))["verdict"] == "unsure"
    main(["detector.keras", "a.png", "--threshold", "0.5"])
    assert "1 images: 1 fake, 0 real; called" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.keras", "faces"], "there is no file 'missing.keras'"),
        (["model.txt", "faces"], "model.txt' is not a Keras model"),
        (["ok.keras", "faces"], "no images in faces"),
        (["ok.keras", "missing"], "none of the 1 files"),
        (["ok.keras", "faces", "--threshold", "7"], "`threshold` must be"),
        (["ok.keras", "faces", "--fake-class", "forged"], "`fake_class` must be"),
        (
            ["ok.keras", "faces", "--output", "nowhere/out.csv"],
            "--output .*nowhere.*: No such file",
        ),
    ],
)
def test_mistakes_end_in_one_line(arguments, message, main, tmp_path):
    (tmp_path / "faces").mkdir()
    (tmp_path / "model.txt").write_text("no model")
    if "ok.keras" in arguments:
        encoder = keras.Sequential([keras.Input((8, 8, 3)), kd.layers.ConvBlock(2)])
        kd.models.EncoderClassifier(encoder).save("ok.keras")
    with pytest.raises(SystemExit, match=rf"^predict_folder\.py: .*{message}[^\n]*$"):
        main(arguments)


def test_without_images_and_with_other_names(main, capsys):
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Dense(2, "softmax")(keras.layers.Flatten()(inputs))
    keras.Model(inputs, outputs).save("plain.keras")
    main(["plain.keras", "--class-names", "photo", "render", "--fake-class", "render"])
    printed = capsys.readouterr().out
    assert "images[19]" in printed
    assert printed.splitlines()[-1].startswith("20 images: ")
