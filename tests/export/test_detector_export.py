import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import onnxruntime
import pytest

import keras_deepfake as kd
from keras_deepfake.export import _agreement, detector_export, export_detector

SIZE = (24, 32)
SUFFIXES = {"onnx": ".onnx", "litert": ".tflite", "saved_model": ""}
# A SavedModel has every operator, but not for nothing.
FORMATS = {"ensemble": ("onnx", "litert"), "any_size": tuple(SUFFIXES)}
LAYERS = {
    "AzimuthalSpectrum": {},
    "BlockDCT": {"block_size": 4},
    "ClassToken": {},
    "ConstrainedConv2D": {"filters": 4},
    "ConvBlock": {"filters": 4, "normalization": "batch"},
    "ConvTransposeBlock": {"filters": 4, "normalization": "layer"},
    "GeMPooling": {},
    "MaskingNoise": {"rate": 0.3},
    "MomentPooling": {},
    "NativeCrop": {"crop_size": (17, 40), "place": (0.0, 0.7)},
    "NeighboringPixelResidual": {},
    "RGBToYCbCr": {},
    "RandomDegradation": {},
    "RandomJPEGCompression": {},
    "ResidualCooccurrence": {"orders": (1,), "steps": (2,), "truncation": 1, "half_scale": False},
    "SRMResidual": {},
    "SaltAndPepperNoise": {"rate": 0.3},
    "SelfBlendedImages": {},
}


def every_layer():
    """A classifier that goes by every layer of the library."""
    images = keras.Input((*SIZE, 3))
    vectors = []
    for name, arguments in LAYERS.items():
        layer = getattr(kd.layers, name)(**arguments)
        x = keras.layers.Reshape((SIZE[0], -1))(images) if name == "ClassToken" else images
        x = keras.tree.flatten(layer(x))[0]
        # Of different sizes, and some much longer than others.
        x = keras.ops.mean(x, axis=(1, 2)) if len(x.shape) == 4 else x[:, :16]
        vectors.append(keras.ops.tanh(x))
    outputs = keras.layers.Dense(2, "softmax")(keras.ops.concatenate(vectors, axis=1))
    return keras.Model(images, outputs, name="every_layer")


def study(**arguments):
    autoencoder = kd.models.ConvAutoencoder((*SIZE, 3), (6, 4), output_activation="sigmoid")
    return kd.models.EncoderClassifier.from_autoencoder(autoencoder, **arguments)


def transformer():
    """One column, real first, with attention."""
    images = keras.Input((*SIZE, 3))
    # It holds tensors that are no weights, as pretrained networks do.
    x = keras.layers.Normalization(mean=(0.5, 0.4, 0.3), variance=(0.2, 0.3, 0.4))(images)
    x = keras.layers.Reshape((12, 8))(keras.layers.Conv2D(8, 8, 8)(x))
    x = keras.layers.LayerNormalization()(keras.layers.MultiHeadAttention(2, 4)(x, x))
    encoder = keras.Model(images, x, name="tokens")
    return kd.models.EncoderClassifier(encoder, class_names=("real", "fake"), pooling="avg")


def ensemble():
    members = [every_layer(), transformer(), study(features="both")]
    return kd.models.Detector(
        members, class_names=("real", "fake"), weights=(1.5, 0.5, 0.25), bias=0.1, threshold=0.4
    )


def any_size_detector(**arguments):
    """Of images of any size, by their brightness and a little by their texture."""
    images = keras.Input((None, None, 3))
    x = kd.layers.ConvBlock(4)(kd.layers.NeighboringPixelResidual()(images))
    means = [keras.ops.mean(x, axis=(1, 2)), keras.ops.mean(images, axis=(1, 2))]
    head = keras.layers.Dense(1, "sigmoid")
    model = keras.Model(images, head(keras.ops.concatenate(means, axis=1)))
    head.set_weights([np.array([[1.0]] * 4 + [[4.0]] * 3), np.array([-5.5])])
    return kd.models.Detector(model, class_names=("photo", "render"), **arguments)


def artifact_path(folder, stem, format):
    return folder / f"{stem}{SUFFIXES[format]}"


def noise(count, size):
    """Images of different means, so that their scores differ."""
    random = np.random.default_rng(0)
    images = random.integers(0, 120, (count, *size, 3)) + random.integers(0, 120, (count, 1, 1, 3))
    return images.astype("uint8")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Detectors by name, the cards of their artifacts, and what these said in another process."""
    folder = tmp_path_factory.mktemp("artifacts")
    keras.utils.set_random_seed(0)
    abstaining = {"conformal_bounds": (0.3, 0.7), "fake_class": "render"}
    detectors = {"ensemble": ensemble(), "any_size": any_size_detector(**abstaining)}
    sizes = {"ensemble": (SIZE, (70, 51), (20, 9)), "any_size": ((64, 64), (33, 50))}
    cards = {}
    for stem, detector in detectors.items():
        for format in FORMATS[stem]:
            path = artifact_path(folder, stem, format)
            cards[path.name] = export_detector(detector, path, format, metrics={"auc": 0.5})
        batches = {f"{n}_{i}": noise(n, size) for n in (1, 8) for i, size in enumerate(sizes[stem])}
        np.savez(folder / f"{stem}.npz", **batches)
    script = pathlib.Path(__file__).with_name("run_artifacts.py")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder, detectors, cards, json.loads((folder / "results").read_text())


def test_every_layer_is_exported():
    assert set(LAYERS) == set(kd.layers.__all__) - {"RandomImageLayer"}


@pytest.mark.parametrize(
    ("stem", "format"), [(stem, format) for stem in FORMATS for format in FORMATS[stem]]
)
def test_artifacts_say_what_the_detector_says(exported, stem, format):
    folder, detectors, _, results = exported
    spread = []
    for name, images in np.load(folder / f"{stem}.npz").items():
        result = results[f"{artifact_path(folder, stem, format).name}/{name}"]
        scores = detectors[stem].scores(images)
        # Stretched smooth, images have frequencies of which there is but rounding.
        atol = 1e-3 if name.endswith("_2") else 1e-4
        probabilities = np.array(result["probabilities"])
        fake_index = detectors[stem].fake_index
        np.testing.assert_allclose(probabilities[:, fake_index], scores, atol=atol)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        assert result["verdicts"] == detectors[stem].verdicts(images).tolist()
        spread.extend(scores)
    assert np.ptp(spread) > 0.01


def test_verdicts_differ_among_the_images(exported):
    *_, results = exported
    verdicts = {verdict for result in results.values() for verdict in result["verdicts"]}
    assert verdicts >= {"photo", "render", "unsure"}


def test_card(exported):
    folder, _, cards, _ = exported
    card = cards["ensemble.onnx"]
    assert card == json.loads((folder / "ensemble.onnx.json").read_text()) | {
        "class_names": ("real", "fake"),
        "agreement": {**card["agreement"], "batches": [1, 8]},
        "input": {**card["input"], "resized_inside_to": SIZE},
    }
    assert card["input"]["shape"] == ["batch", "height", "width", 3]
    assert (card["fake_class"], card["fake_index"], card["threshold"]) == ("fake", 1, 0.4)
    assert card["metrics"] == {"auc": 0.5}
    assert card["versions"]["keras"] == keras.__version__
    assert card["agreement"]["largest_difference"] < 1e-4
    assert cards["any_size"]["input"]["resized_inside_to"] is None
    for name in ("ensemble.onnx", "any_size"):
        files = [folder / name] if name.endswith("onnx") else (folder / name).rglob("*")
        assert cards[name]["sha256"] == {
            str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in files
            if file.is_file()
        }


def test_resizing_is_that_of_the_detector():
    """Up, down, and one of each."""
    from keras_deepfake.datasets.image_resizing import resize_image
    from keras_deepfake.export._served_model import RawImages

    for size in ((24, 32), (50, 61), (12, 9), (80, 11), (670, 501)):
        image = noise(1, size)
        expected = resize_image(image[0].astype("float32"), SIZE)
        np.testing.assert_allclose(RawImages(SIZE, False)(image)[0], expected, atol=3e-7)
        turned = RawImages(SIZE, True)(image)[0]
        np.testing.assert_allclose(np.moveaxis(turned, 0, -1), expected, atol=3e-7)


def test_fourier_transform_by_matrices():
    images = np.random.default_rng(0).random((2, 12, 15, 1), "float32")
    layer = kd.layers.AzimuthalSpectrum()
    expected = keras.ops.convert_to_numpy(layer(images))
    layer.plain_operators = True
    np.testing.assert_allclose(layer(images), expected, rtol=1e-4)


@pytest.fixture
def detector():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    )
    return kd.models.Detector(model, class_names=("fake", "real"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda p: p + np.float32(2e-4), "other probabilities than detector"),
        (lambda p: p * np.float32("nan"), "other probabilities than detector"),
        (lambda p: p[:, ::-1], "other probabilities than detector"),
        (lambda p: p[:1], "gives float32 of shape (1, 2) for 8 images"),
        (lambda p: p.astype("float64"), "gives float64 of shape"),
    ],
)
def test_a_wrong_artifact_is_not_kept(detector, wrong, message, tmp_path, monkeypatch):

    monkeypatch.setattr(
        detector_export, "write_litert", lambda model, path, **_: path.write_bytes(b"")
    )
    scores = {}

    def runtime(path):
        def run(images):
            fake = detector.scores(images)
            scores[len(images)] = fake
            return wrong(np.stack([fake, 1 - fake], axis=1))

        return run

    formats = {"litert": detector_export.FORMATS["litert"]._replace(runtime=runtime)}
    monkeypatch.setattr(detector_export, "FORMATS", formats)
    with pytest.raises(ValueError, match=re.escape(message)):
        export_detector(detector, tmp_path / "a.tflite", "litert")
    assert scores
    assert not list(tmp_path.iterdir())


def test_what_rounds_resized_pixels_is_named():
    encoder = keras.Sequential([keras.Input((None, None, 3)), kd.layers.ResidualCooccurrence()])
    classifier = kd.models.EncoderClassifier(encoder, pooling=None)
    for size, hint in ((None, ""), ((16, 16), r" `ResidualCooccurrence` rounds pixels.*")):
        detector = kd.models.Detector(classifier, image_size=size)
        with pytest.raises(ValueError, match=rf"At most 0\.0001 is rounding\.{hint}$"):
            _agreement.check_agreement(
                detector, lambda images: np.tile(np.float32([0.9, 0.1]), (len(images), 1)), "onnx"
            )


def test_what_an_earlier_export_left(detector, tmp_path):
    path = tmp_path / "served"
    first = export_detector(detector, path, "saved_model")
    with pytest.raises(ValueError, match=r"is there already; choose another, .*overwrite=True"):
        export_detector(detector, path, "saved_model")
    second = export_detector(detector, path, "saved_model", overwrite=True, metrics={"auc": np.nan})
    assert json.loads((tmp_path / "served.json").read_text())["metrics"] == {"auc": None}
    assert first["metrics"] is None
    assert second["sha256"].keys() == first["sha256"].keys()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["served", "served.json"]


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize(
    ("overwrite", "moves"), [(False, 0), (False, 1), *((True, n) for n in range(4))]
)
def test_an_end_between_two_files(detector, overwrite, moves, killed, tmp_path, monkeypatch):
    """No card stands beside the artifact of another export, and nothing is lost."""
    path, card = tmp_path / "a.onnx", tmp_path / "a.onnx.json"
    contents = iter("abcd")
    monkeypatch.setattr(
        detector_export, "_write", lambda detector, path, format: path.write_text(next(contents))
    )
    monkeypatch.setattr(detector_export, "check_agreement", lambda *arguments: None)

    def check_pair(content):
        assert path.read_text() == content
        expected = hashlib.sha256(content.encode()).hexdigest()
        assert json.loads(card.read_text())["sha256"] == {"a.onnx": expected}

    if overwrite:
        export_detector(detector, path)
    rename, left = pathlib.Path.rename, iter([True] * moves + [False])

    def until_the_end(source, target):
        if not next(left, True):
            raise KeyboardInterrupt
        return rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "rename", until_the_end)
        if killed:  # nobody tidies up then
            patch.setattr(detector_export, "_remove", lambda folder, path: None)
        with pytest.raises(KeyboardInterrupt):
            export_detector(detector, path, overwrite=overwrite)
    if path.exists():
        check_pair("a")
    if overwrite:
        with pytest.raises(ValueError, match="is there already"):
            export_detector(detector, path)
        check_pair("a")
    export_detector(detector, path, overwrite=overwrite)
    check_pair("c" if overwrite else "b")
    assert sorted(os.listdir(tmp_path)) == ["a.onnx", "a.onnx.json"]


def test_counts_of_many_threads_are_exact(tmp_path):
    """A wrong count is in a few runs of many, where many pixels fall into one bin."""
    encoder = keras.Sequential([keras.Input((None, None, 3)), kd.layers.ResidualCooccurrence()])
    detector = kd.models.Detector(kd.models.EncoderClassifier(encoder, pooling=None))
    export_detector(detector, tmp_path / "a.onnx")
    images = np.tile(np.uint8([[0], [255]]), (1, 640, 240, 3))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 8
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", options)
    for _ in range(4):
        (outputs,) = session.run(["probabilities"], {"images": images})
        np.testing.assert_allclose(outputs[:, 0], detector.scores(images), atol=1e-6)


def test_a_folder_of_somebody_else_stays(detector, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("years")
    with pytest.raises(ValueError, match="'work' is there, and no card of an export"):
        export_detector(detector, tmp_path / "work", "saved_model", overwrite=True)
    # A file of the name of a card is none.
    for text in ("{}", "[1]", "years", '{"artifact": "other", "format": "onnx", "sha256": {}}'):
        (tmp_path / "work.json").write_text(text)
        with pytest.raises(ValueError, match="is there, and no card of an export"):
            export_detector(detector, tmp_path / "work", "saved_model", overwrite=True)
        assert (tmp_path / "work.json").read_text() == text
    assert (tmp_path / "work" / "thesis.txt").read_text() == "years"
    (tmp_path / "b.onnx.json").write_text("{}")
    with pytest.raises(ValueError, match=r"'b\.onnx\.json' is there, and no card of an export"):
        export_detector(detector, tmp_path / "b.onnx", overwrite=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"format": "pickle"},
            "`format` must be one of 'onnx', 'litert', 'litert_int8', 'saved_model'",
        ),
        ({"path": "a.tflite"}, "must end in '.onnx'"),
        ({"path": "missing/a.onnx"}, "lies in a folder that does not exist"),
        ({"path": 3}, "`path` must be a path"),
        ({"metrics": {"auc": np.ones(2)}}, "`metrics` must be a dictionary of numbers"),
        ({"metrics": [0.5]}, "`metrics` must be a dictionary of numbers"),
        ({"overwrite": 1}, "`overwrite` must be True or False"),
        ({"path": "a.tflite", "format": "litert_int8"}, "must be given for format='litert_int8'"),
        ({"comparison_images": noise(1, (8, 8))}, "must be given for format='litert_int8'"),
        ({"image_size": (9, 9)}, "must agree on the size"),
    ],
)
def test_arguments(detector, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(message)):
        export_detector(detector, **{"path": "a.onnx", **arguments})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_other_precision_is_refused_at_once(format, policy, tmp_path):
    autoencoder = kd.models.ConvAutoencoder((8, 8, 3), (2,), dtype=policy)
    classifier = kd.models.EncoderClassifier.from_autoencoder(autoencoder)
    dtype = policy.removeprefix("mixed_")
    with pytest.raises(ValueError, match=rf"computes in {dtype}, which .*format='saved_model'"):
        export_detector(classifier, artifact_path(tmp_path, "a", format), format)


def test_channels_first_and_grey(tmp_path):
    images = keras.Input((1, 12, 16))
    x = keras.layers.Conv2D(4, 3, data_format="channels_first")(images)
    model = keras.Model(images, keras.layers.Dense(1, "sigmoid")(keras.layers.Flatten()(x)))
    detector = kd.models.Detector(model, class_names=("fake", "real"))
    card = export_detector(detector, tmp_path / "a.tflite", "litert")
    assert card["input"]["shape"] == ["batch", "height", "width", 1]


def test_an_operation_that_a_format_lacks(tmp_path):
    images = keras.Input((8, 8, 3))
    real, imaginary = keras.ops.fft2((images[..., 0], images[..., 1]))
    features = keras.ops.reshape(keras.ops.log(keras.ops.abs(real) + 1.0) + imaginary, (-1, 64))
    model = keras.Model(images, keras.layers.Dense(2, "softmax")(features))
    with pytest.raises(ValueError, match=r"cannot be exported as format='litert': .*saved_model"):
        export_detector(model, tmp_path / "a.tflite", "litert", class_names=("fake", "real"))
    assert not list(tmp_path.iterdir())


def test_metrics_may_be_numbers_of_numpy(detector, tmp_path):
    metrics = {"auc": np.float32(0.5), "images": np.int64(3), "interval": (np.float64("nan"), 1.0)}
    card = export_detector(detector, tmp_path / "a.tflite", "litert", metrics=metrics)
    assert card["metrics"] == {"auc": 0.5, "images": 3, "interval": [None, 1.0]}


def test_guide_runs(detector, pytestconfig, tmp_path, monkeypatch):
    guide = (pytestconfig.rootpath / "docs" / "export.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    detector.save("detector.keras")
    (block,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    exec(block, {})
    assert {"detector.onnx", "detector.tflite", "served"} <= set(os.listdir())
