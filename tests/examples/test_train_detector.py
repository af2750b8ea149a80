import json
import pathlib
import runpy

import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake.recipes import _devices, _synthetic_data, study

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "train_detector.py"
TINY = "--image-size 32 --filters 4 4 --epochs-autoencoder 1 --epochs-classifier 1".split()


@pytest.fixture
def main(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_synthetic_data, "NUM_FACES", 80)
    return runpy.run_path(str(SCRIPT))["main"]


def make_folder(names=("fake", "real")):
    random = np.random.default_rng(0)
    for name in names:
        pathlib.Path("data", name).mkdir(parents=True)
        for person in range(6):
            for shot in range(3):
                path = f"data/{name}/p{person}_{shot}.png"
                keras.utils.save_img(path, random.uniform(0, 255, (32, 32, 3)), scale=False)


def test_without_data(main, capsys):
    main([*TINY, "--output", "one"])
    assert "open one/report.html" in capsys.readouterr().out.splitlines()[-1]
    assert pathlib.Path("one/detector.keras").exists()


def test_recommended_detector_and_photographs_alone(main):
    make_folder()
    network = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3, name="conv")], name="network"
    )
    network.save("network.keras")
    options = ["--preset", "recommended", "--data", "data", "--group-pattern", r"p\d+"]
    main([*options, "--encoder", "network.keras:conv", "--abstain", "0.3", "--output", "one"])
    settings = json.loads(pathlib.Path("one/settings.json").read_text())
    assert (settings["fakes"], settings["abstain"]) == ("given", 0.3)
    members = json.loads(pathlib.Path("one/metrics.json").read_text())["members"]
    assert [member["name"] for member in members] == ["network", "cooccurrence"]
    with pytest.raises(SystemExit, match=r"there is no file 'a\.keras'"):
        main([*options, "--fine-tune", "a.keras"])
    main(["--preset", "real-only", "--photographs", "data/real", "--output", "two"])
    settings = json.loads(pathlib.Path("two/settings.json").read_text())
    assert (settings["fakes"], settings["fake_class"]) == ("blended", "fake")


def test_options_reach_the_training(main, monkeypatch):
    distributed = []

    def noted_devices():
        devices = _devices.all_devices()
        distributed.append(devices.count)
        return devices

    monkeypatch.setattr(study, "all_devices", noted_devices)
    make_folder(("0_real", "1_fake"))
    main(
        [*TINY, "--data", "data", "--group-pattern", r"p\d+", "--split", "0.5", "0.25", "0.25"]
        + ["--pretraining-data", "data", "--corruption", "masking", "--l1", "0", "--l2", "0.01"]
        + ["--activation", "sigmoid", "--pretraining", "stacked", "--output", "two"]
        + ["--distribute"]
    )
    metrics = json.loads(pathlib.Path("two/metrics.json").read_text())
    assert metrics["report"]["num_groups"] < metrics["report"]["num_images"]
    assert metrics["num_left_out"] > 0
    autoencoder = keras.saving.load_model("two/autoencoder.keras")
    assert isinstance(autoencoder.corruption, kd.layers.MaskingNoise)
    detector = keras.saving.load_model("two/detector.keras")
    assert detector.class_names == ("0_real", "1_fake")
    settings = json.loads(pathlib.Path("two/settings.json").read_text())
    assert (settings["l1"], settings["l2"], settings["activation"]) == (0, 0.01, "sigmoid")
    assert distributed == [1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "nowhere"], "'nowhere'"),
        (["--encoder", "a.keras"], "--preset small has no use for --encoder."),
        (["--fine-tune", "a.keras"], "--preset small has no use for --fine-tune."),
        (["--preset", "recommended", "--distribute"], r"has no use for .*--distribute\."),
        (["--preset", "recommended", "--l1", "0"], "--preset recommended has no use for .*--l1"),
        (["--data", "unclear"], r"its folders are \['a', 'b'\]"),
        (["--data", "unclear", "--fake-class", "c"], r"its folders are \['a', 'b'\]"),
        (["--data", "data", "--class-names", "fake", "photo"], "'photo'|photo: no such"),
        (["--image-size", "34"], "divisible by 4"),
        (["--image-size", "0"], "`image_size`"),
        (["--epochs-classifier", "0"], "`epochs_classifier`"),
        (["--l1", "-1"], "`l1` must be"),
        (["--l2", "nan"], "`l2` must be"),
        (["--split", "0.5", "0.1", "0.1"], "sum to 1"),
        (["--data", "data", "--group-pattern", "x"], "no group"),
        (["--data", "data", "--group-pattern", "("], "unterminated subpattern"),
        (["--data", "data", "--group-pattern", "p"], "1 groups"),
        (["--output", "data"], "is there already; .*replace it with --overwrite"),
        (["--output", "data", "--overwrite"], "not the folder of a run"),
        (["--output", "file/one"], "file"),
    ],
)
def test_mistakes_are_one_message_and_leave_nothing_behind(main, options, message):
    make_folder()
    for name in ("a", "b"):
        pathlib.Path("unclear", name).mkdir(parents=True)
    pathlib.Path("file").write_text("")
    before = set(pathlib.Path().iterdir())
    with pytest.raises(SystemExit, match=message) as error:
        main([*TINY, *options])
    assert isinstance(error.value.code, str)
    assert set(pathlib.Path().iterdir()) == before


def test_divergence_ends_in_one_message(main):
    make_folder()
    with pytest.raises(SystemExit, match=r"train_detector\.py: .*finite"):
        main([*TINY, "--data", "data", "--l1", "1e38"])
    assert not pathlib.Path("results").exists()
