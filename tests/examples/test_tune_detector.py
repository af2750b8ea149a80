import csv
import pathlib

import keras
import pytest

import keras_deepfake as kd
from keras_deepfake_commands import tune

TINY = "--image-size 32 --max-filters 8 --epochs 1 --pretraining-epochs 1 --max-trials 2".split()


@pytest.fixture(autouse=True)
def few_faces(monkeypatch):
    monkeypatch.setattr(tune, "NUM_SYNTHETIC_FACES", 40)


def test_workers_run_the_script_with_the_same_options(main, monkeypatch):
    seen = []

    def stand_in(tuner, num_workers, command):
        seen.append((num_workers, command))
        # What each of the processes does.
        monkeypatch.setattr(kd.hypermodels, "search", lambda *args, **kwargs: None)
        main(command[4:])

    monkeypatch.setattr(kd.hypermodels, "run_local_workers", stand_in)
    main([*TINY, "--workers", "3"])
    ((num_workers, command),) = seen
    assert num_workers == 3
    again = ["-m", "keras_deepfake_commands", "tune", *TINY, "--workers", "3", "--workers", "0"]
    assert command[1:] == again
    assert not pathlib.Path("search/results.csv").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "nowhere"], "'nowhere'"),
        (["--max-trials", "0"], "--max-trials"),
        (["--workers", "-1"], "--workers"),
        (["--autoencoder", "nothing.keras"], "no file 'nothing.keras'"),
        (["--encoder", "damaged.keras"], "is not a Keras model that can be loaded"),
        (["--encoder", "encoder.keras"], "`image_shape`"),
        (["--encoder", "encoder.keras", "--autoencoder", "encoder.keras"], "not both"),
        (["--image-size", "30"], "divisible by 8"),
        (["--class-names", "a", "b"], "those of --data"),
        (["--data", "faces", "--class-names", "a", "b"], "`fake_class='a'`"),
        (
            ["--data", "faces", "--group-pattern", "("],
            "--group-pattern .* is no regular expression",
        ),
    ],
)
def test_mistakes_are_one_message(main, options, message):
    pathlib.Path("damaged.keras").write_bytes(b"PK")
    for name in ("fake", "real"):
        pathlib.Path("faces", name).mkdir(parents=True)
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]).save("encoder.keras")
    with pytest.raises(SystemExit, match=message):
        main([*TINY, *options])
    assert not pathlib.Path("search").exists()


@pytest.mark.usefixtures("pages_without_pictures")
def test_search_ends_with_a_table_a_picture_and_a_comparison(main, capsys):
    faces = kd.datasets.synthetic_faces(60, (32, 32), seed=0)
    for i, (image, label) in enumerate(zip(faces.images, faces.labels, strict=True)):
        folder = pathlib.Path("faces", "b" if label[0] else "a")
        folder.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(folder / f"p{i // 2:02}_{i}.png", image, scale=False)
    layers = [keras.layers.Conv2D(4, 3, strides=2), keras.layers.GlobalAveragePooling2D()]
    keras.Sequential([keras.Input((16, 16, 3)), *layers]).save("encoder.keras")
    options = "--data faces --class-names a b --fake-class b --encoder encoder.keras".split()
    options += ["--group-pattern", r"^p\d+", "--image-size", "16", "--max-trials", "2"]
    main([*options, "--epochs", "1"])
    printed = capsys.readouterr().out
    assert "2 trials: 2 completed" in printed
    assert "study  AUC" in printed
    assert "95 % interval" in printed
    with open("search/results.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    assert pathlib.Path("search/search.png").stat().st_size > 1000
    detector = keras.saving.load_model("search/best.keras")
    assert isinstance(detector, kd.models.Detector)
    assert (detector.class_names, detector.fake_index) == (("a", "b"), 1)
    with pytest.raises(SystemExit, match="other options"):
        main([*options, "--epochs", "2"])
