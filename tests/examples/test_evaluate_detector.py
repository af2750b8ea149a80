import importlib.util
import pathlib

import keras
import numpy as np
import pytest

import keras_deepfake as kd

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "evaluate_detector.py"


@pytest.fixture
def main():
    spec = importlib.util.spec_from_file_location("evaluate_detector_example", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


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
    return [
        str(tmp_path / "model.keras"),
        str(tmp_path / "faces"),
        "--output",
        str(tmp_path / "report.html"),
    ]


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
    with pytest.raises(SystemExit, match="matches nothing"):
        main([*arguments, "--group-pattern", "person"])
    with pytest.raises(SystemExit, match="`directory` must be an existing folder"):
        main([arguments[0], "nowhere"])
