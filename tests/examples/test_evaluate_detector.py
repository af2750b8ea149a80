import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake_commands import evaluate


@pytest.fixture
def arguments(tmp_path):
    """A saved model, and images of four people, one of them twice as bright when fake."""
    rng = np.random.default_rng(0)
    for place in range(16):
        name = ("fake", "real")[place % 2]
        (tmp_path / "faces" / name).mkdir(parents=True, exist_ok=True)
        image = rng.uniform(0, 255, (16, 16, 3)) / (1 + place % 2)
        path = tmp_path / "faces" / name / f"p{place % 8 // 2}_{place}.png"
        keras.utils.save_img(path, image, scale=False)
    inputs = keras.Input((16, 16, 3))
    bright = keras.layers.GlobalAveragePooling2D()(inputs)
    keras.Model(inputs, keras.layers.Dense(2, "softmax")(bright)).save(tmp_path / "model.keras")
    (tmp_path / "text.keras").write_text("no model")
    return [
        str(tmp_path / "model.keras"),
        str(tmp_path / "faces"),
        "--output",
        str(tmp_path / "report.html"),
    ]


@pytest.mark.usefixtures("pages_without_pictures")
def test_report_is_printed_and_written(main, arguments, tmp_path, capsys):
    main([*arguments, "--group-pattern", "^p[0-9]+", "--threshold", "0.25"])
    printed = capsys.readouterr().out
    assert "16 images, 8 fake and 8 real, in 4 groups" in printed
    page = (tmp_path / "report.html").read_text()
    assert "at least 0.25" in page
    index = kd.datasets.ImageIndex.from_directory(arguments[1])
    model = keras.saving.load_model(arguments[0])
    auc = kd.evaluation.evaluate_detector(model, index, num_resamples=1).metrics["auc"]
    assert f"{auc:.3f}" in printed
    assert f"{auc:.3f}" in page


def test_audit_and_robustness_are_part_of_the_page(main, arguments, tmp_path, capsys):
    main([*arguments, "--audit", "--robustness"])
    printed = capsys.readouterr().out
    assert "Dataset audit" in printed
    assert "JPEG quality 30" in printed
    page = (tmp_path / "report.html").read_text()
    assert "<h2>Dataset audit</h2>" in page
    assert "<h2>Robustness</h2>" in page


def test_wrong_input_is_told_without_a_traceback(main, arguments):
    model, faces = arguments[:2]
    text = model.replace("model.keras", "text.keras")
    for options, message in (
        ([model, faces, "--group-pattern", "person"], "give every image a group"),
        ([model, faces, "--group-pattern", "("], "--group-pattern .* is no regular expression"),
        ([model, "nowhere"], "`directory` must be an existing folder"),
        (["missing.keras", faces], "there is no file 'missing.keras'"),
        ([text, faces], "text.keras' is not a Keras model .* it is no archive"),
        ([text, faces, "--output", "report.txt"], "--output must end in .html or .json or .csv"),
        ([text, faces, "--output", "a.csv", "--robustness"], "--output must end in .html;"),
        ([text, faces, "--output", "nowhere/a.html"], "--output .* cannot be written: No such"),
        ([model], "class_names"),
        ([model, "--class-names", "fake", "real", "--audit"], "--audit needs DATA"),
    ):
        with pytest.raises(SystemExit, match=rf"^evaluate_detector\.py: .*{message}") as error:
            main(options)
        assert isinstance(error.value.code, str)


@pytest.mark.usefixtures("pages_without_pictures")
def test_unreadable_files_are_left_out_when_asked(main, arguments, tmp_path, capsys):
    (tmp_path / "faces" / "fake" / "notes.txt").write_text("years")
    names = ["--class-names", "fake", "real"]
    with pytest.raises(SystemExit, match="or leave them out with --skip-unreadable"):
        main([*arguments, *names])
    with pytest.warns(UserWarning, match="notes.txt"):
        main([*arguments, *names, "--skip-unreadable"])
    assert "16 images, 8 fake and 8 real" in capsys.readouterr().out


@pytest.mark.usefixtures("pages_without_pictures")
def test_folders_in_the_order_of_the_model(main, tmp_path, capsys):
    """The folders are called and ordered otherwise than the classes of the model."""
    for name, value in (("0_real", 0), ("1_fake", 255)):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for i in range(4):
            keras.utils.save_img(f"faces/{name}/{i}.png", np.full((8, 8, 3), value), scale=False)
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.AveragePooling2D(8)])
    classifier = kd.models.EncoderClassifier(encoder, ("fake", "real"))
    classifier.layers[-1].set_weights([np.array([[1, -1]] * 3), np.array([-1.5, 1.5])])
    classifier.save("model.keras")
    main(["model.keras", "faces"])
    printed = capsys.readouterr().out
    assert "4 fake and 4 real" in printed
    assert "1.000" in next(line for line in printed.splitlines() if line.startswith("AUC"))


@pytest.mark.usefixtures("pages_without_pictures")
def test_without_data(main, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "NUM_SYNTHETIC_FACES", 20)
    encoder = keras.Sequential([keras.Input((32, 32, 3)), kd.layers.ConvBlock(2)])
    kd.models.EncoderClassifier(encoder, ("real", "fake")).save("model.keras")
    main(["model.keras"])
    assert "20 images, 10 fake and 10 real" in capsys.readouterr().out
