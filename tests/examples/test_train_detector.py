import pathlib

import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake.recipes import _synthetic_data

TINY = "--image-size 32 --filters 4 4 --epochs-autoencoder 1 --epochs-classifier 1".split()


def make_folder(names=("fake", "real")):
    random = np.random.default_rng(0)
    for name in names:
        pathlib.Path("data", name).mkdir(parents=True)
        for person in range(6):
            for shot in range(3):
                path = f"data/{name}/p{person}_{shot}.png"
                keras.utils.save_img(path, random.uniform(0, 255, (32, 32, 3)), scale=False)


@pytest.mark.usefixtures("pages_without_pictures")
def test_without_data(main, monkeypatch, capsys):
    monkeypatch.setattr(_synthetic_data, "NUM_FACES", 80)
    main([*TINY, "--output", "one"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "Results are in one: open one/report.html."
    assert pathlib.Path("one/report.html").exists()
    assert pathlib.Path("one/detector.keras").exists()


@pytest.fixture
def calls(monkeypatch):
    """The arguments of every training, which diverges at once."""
    calls = []

    def diverge(index, *args, **arguments):
        calls.append((index, *args, arguments))
        raise FloatingPointError("the loss is not finite")

    for recipe in ("train_study", "train_detector"):
        monkeypatch.setattr(kd.recipes, recipe, diverge)
    return calls


def run(main, *options):
    with pytest.raises(SystemExit, match=r"^train_detector\.py: the loss is not finite$"):
        main(list(options))


def test_options_reach_the_recommended_detector(main, calls):
    make_folder()
    options = "--preset recommended --data data --encoder network.keras:conv VGG16".split()
    options += ["--false-positive-rate", "0.1", "--group-pattern", r"p\d+", "--output", "one"]
    options += ["--fine-tune", "VGG19", "--abstain", "0.3", "--seed", "4", "--overwrite"]
    run(main, *options)
    run(main, "--preset", "real-only", "--photographs", "data/real")
    (index, *given, arguments), (photographs, *_, of_photographs) = calls
    assert given == [["network.keras:conv", "VGG16"], "one"]
    assert (index.class_names, set(index.groups)) == (("fake", "real"), {f"p{i}" for i in range(6)})
    assert arguments == {
        "fine_tune": "VGG19",
        "fakes": "given",
        "false_positive_rate": 0.1,
        "abstain": 0.3,
        "fake_class": None,
        "seed": 4,
        "overwrite": True,
    }
    assert (len(photographs), photographs.class_names) == (18, None)
    assert of_photographs["fakes"] == "blended"


def test_options_reach_the_study(main, calls):
    make_folder(("0_real", "1_fake"))
    options = "--data data --fake-class 1_fake --split 0.5 0.25 0.25 --pretraining-data data/0_real"
    options += " --corruption masking --l1 0 --l2 0.01 --activation sigmoid --pretraining stacked"
    run(main, *TINY, *options.split(), "--output", "two", "--distribute")
    ((index, output, settings, arguments),) = calls
    assert (index.class_names, output) == (("0_real", "1_fake"), "two")
    assert settings == kd.recipes.StudySettings.preset(
        "small",
        image_size=32,
        filters=(4, 4),
        epochs_autoencoder=1,
        epochs_classifier=1,
        split=(0.5, 0.25, 0.25),
        corruption="masking",
        l1=0,
        l2=0.01,
        activation="sigmoid",
        pretraining="stacked",
    )
    assert len(arguments.pop("unlabelled")) == 18
    assert arguments == {"distribute": True, "fake_class": "1_fake", "seed": 0, "overwrite": False}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "nowhere"], "'nowhere'"),
        (["--encoder", "a.keras"], "--preset small has no use for --encoder."),
        (["--fine-tune", "a.keras"], "--preset small has no use for --fine-tune."),
        (["--preset", "recommended", "--distribute"], r"has no use for .*--distribute\."),
        (["--preset", "recommended", "--l1", "0"], "--preset recommended has no use for .*--l1"),
        (["--data", "unclear"], r"its folders are \['a', 'b'\]"),
        (["--data", "unclear", "--fake-class", "c"], "`fake_class` must be one of 'a', 'b'"),
        (["--data", "data", "--class-names", "fake", "photo"], "'photo'|photo: no such"),
        (["--image-size", "34"], "divisible by 4"),
        (["--image-size", "0"], "`image_size`"),
        (["--epochs-classifier", "0"], "`epochs_classifier`"),
        (["--l1", "-1"], "`l1` must be"),
        (["--l2", "nan"], "`l2` must be"),
        (["--split", "0.5", "0.1", "0.1"], "sum to 1"),
        (["--data", "data", "--group-pattern", "x"], "no group"),
        (["--data", "data", "--group-pattern", "("], "--group-pattern .* is no regular expression"),
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
