"""A detector as one file or folder that needs no Keras, and the card that describes it."""

import contextlib
import glob
import hashlib
import importlib.util
import json
import re
import secrets
import shutil

import keras

import keras_deepfake
from keras_deepfake._arguments import check_choice, check_flag, check_path
from keras_deepfake._locks import FileLock
from keras_deepfake._results import strict_json
from keras_deepfake.export._agreement import check_agreement, check_rounded, raw_batches
from keras_deepfake.export._formats import FORMATS, write_litert, write_onnx, write_saved_model
from keras_deepfake.export._served_model import (
    INPUT,
    OUTPUT,
    plain_operators,
    served_model,
)
from keras_deepfake.models.detector import as_detector
from keras_deepfake.models.image_batches import image_layout
from keras_deepfake.models.prediction import check_finite_weights

_COLOURS = {1: "grey", 3: "RGB"}
_OTHER_BACKEND = (
    'Save the detector, `detector.save("detector.keras")`, and load and export it in a process '
    "with KERAS_BACKEND=tensorflow: it is the same on every backend."
)


def export_detector(
    detector,
    path,
    format="onnx",
    *,
    class_names=None,
    fake_class=None,
    image_size=None,
    comparison_images=None,
    metrics=None,
    overwrite=False,
):
    """Writes a detector as an artifact that runs without Keras and this library.

    The artifact takes raw images, uint8 of shape `(batch, height, width, channels)`, in batches
    of one or more, as the input `"images"`. Scaling, resizing, every member, stacking and
    calibration are inside. Its output `"probabilities"`, float32 of shape `(batch, 2)`, has the
    columns of `class_names`. Beside it, at `path` with `.json` added, lies a card that says what
    its user needs to know: the input, the classes and which is fake, the threshold, when to
    abstain, metrics, versions, and the SHA-256 of every file.

    What was written is run, on a batch of 1 image and on one of 8 of another size, and
    compared with the detector: probabilities must agree within 1e-4, and so must the verdicts.

    Args:
        detector: A `Detector`, or any model that `kd.models.as_detector` makes one of.
        path: Where the artifact shall be. It ends in `.onnx` or `.tflite` for these formats; a
            SavedModel is a folder.
        format: `"onnx"`; `"litert"` (TensorFlow Lite), of builtin operators alone;
            `"litert_int8"`, the same with kernels of 8 bits, in about a quarter of the size; or
            `"saved_model"` (TensorFlow), whose function `serve` and signature
            `"serving_default"` take the images. The TensorFlow backend writes them all, JAX a
            SavedModel; a saved detector is the same on every backend.
        class_names: Strings, the classes in the order of the columns, where the model does not
            hold them.
        fake_class: The name of the fake class, where it cannot be recognised.
        image_size: `(height, width)` to which images are resized, for detectors of images of any
            size. By default the artifact takes any size, as the detector does.
        comparison_images: For `"litert_int8"` alone, images as `Detector.scores` takes them,
            such as those that calibration saw. Rounding to 8 bits moves probabilities by
            hundredths; the artifact is compared with the detector on these instead, and kept
            where no more than a tenth of the verdicts change.
        metrics: Dictionary for the card, such as `report.metrics`; of values that JSON knows, and
            NaN, which becomes `null`.
        overwrite: Boolean, whether to replace what an earlier export left at `path`.

    Returns:
        The card, a dictionary.

    Raises:
        ValueError: If an argument does not fit the description, something is at `path` already,
            another process writes it, the backend cannot write the format, a package for it is
            missing, the detector has an operation that the format lacks, or the artifact
            disagrees with the detector. Nothing is left behind then.
        OSError: If nothing can be written at `path`.

    Example:
        ```python
        autoencoder = kd.models.ConvAutoencoder(image_shape=(32, 32, 3), filters=(16, 8))
        classifier = kd.models.EncoderClassifier.from_autoencoder(autoencoder)
        detector = kd.models.Detector(classifier, threshold=0.31)
        card = kd.export.export_detector(detector, "detector.tflite", format="litert")
        card["threshold"]  # 0.31
        ```
    """
    format = check_choice("format", format, tuple(FORMATS))
    metrics = _check_metrics(metrics)
    _check_format(format)
    if (comparison_images is None) == (format == "litert_int8"):
        raise ValueError(
            "`comparison_images` must be given for format='litert_int8', and for no other; got "
            f"{type(comparison_images).__name__} for {format!r}."
        )
    detector = as_detector(detector, class_names, fake_class, image_size)
    check_finite_weights(detector)
    _check_dtypes(detector, format)
    if comparison_images is not None:
        comparison_images = raw_batches(detector, comparison_images)
    path = _check_path(path, format)
    with _temporary_folder(path, check_flag("overwrite", overwrite)) as folder:
        artifact = folder / path.name
        run = _write(detector, artifact, format)
        card = {
            "artifact": path.name,
            "format": format,
            **_description(detector),
            "metrics": metrics,
            "agreement": check_agreement(detector, run, format)
            if comparison_images is None
            else check_rounded(detector, run, comparison_images),
            "versions": _versions(format),
            "sha256": {
                file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
                for file in sorted([artifact, *artifact.rglob("*")])
                if file.is_file()
            },
        }
        text = json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / "card").write_text(f"{text}\n", encoding="utf-8")
        # An artifact is never without its card, by which the next export knows it for its own, nor
        # beside the card of another one.
        for old, aside in _replaced(path, folder):
            if old.exists():
                old.rename(aside)
        (folder / "card").rename(_card_path(path))
        artifact.rename(path)
    return card


def _card_path(path):
    return path.with_name(f"{path.name}.json")


def _replaced(path, folder):
    """Each file of an earlier export, and where it is until the new one is in its place."""
    return [(path, folder / "replaced"), (_card_path(path), folder / "replaced card")]


def _check_path(path, format):
    shown = str(path)
    path = check_path("path", path).resolve()
    suffix = FORMATS[format].suffix
    if not path.name or (suffix and path.suffix != suffix):
        expected = f"must end in {suffix!r}, as format={format!r} has it" if suffix else "is none"
        raise ValueError(f"`path`={shown!r} {expected}.")
    if not path.parent.is_dir():
        raise ValueError(f"`path`={shown!r} lies in a folder that does not exist.")
    return path


def _check_overwrite(path, overwrite):
    existing = [old for old, _ in _replaced(path, path) if old.exists()]
    # What this library did not write is not its to delete.
    if existing and not _is_card(_card_path(path), path.name):
        raise ValueError(
            f"`path`={str(path)!r} cannot be written: {existing[0].name!r} is there, and no card "
            "of an export. Choose another path."
        )
    for old in existing:
        if not overwrite:
            raise ValueError(
                f"`path`={str(path)!r} cannot be written, as {old.name!r} is there already; choose "
                "another, or replace it with `overwrite=True`."
            )


def _is_card(path, artifact):
    """Whether an export left this file as the card of an artifact of this name."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        return card["artifact"] == artifact and card["format"] in FORMATS and "sha256" in card
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _check_metrics(metrics):
    try:
        if not isinstance(metrics, (dict, type(None))):
            raise TypeError
        return json.loads(json.dumps(strict_json(metrics)))
    except (TypeError, ValueError) as error:
        raise ValueError(
            "`metrics` must be a dictionary of numbers, texts and their like, such as "
            f'{{"auc": 0.93}}; got {metrics!r}.'
        ) from error


def _check_format(format):
    needed = FORMATS[format]
    backend = keras.backend.backend()
    if backend not in needed.backends:
        raise ValueError(
            f"`format`={format!r} cannot be written on the {backend} backend of Keras, only on "
            f"{' and '.join(needed.backends)}. {_OTHER_BACKEND}"
        )
    missing = [name for name in needed.packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"`format`={format!r} needs {' and '.join(missing)}: "
            '`pip install "keras-deepfake[export]"`.'
        )


def _check_dtypes(detector, format):
    lacking = () if format == "saved_model" else ("bfloat16", "float16", "float64")
    for layer in detector._flatten_layers():
        if layer.compute_dtype in lacking:
            raise ValueError(
                f"Layer {layer.name!r} computes in {layer.compute_dtype}, which format={format!r} "
                "or its runtime lacks, or rounds otherwise. Export as format='saved_model', or "
                "make the members again under dtype='float32' with the weights of these "
                "(`get_weights`, `set_weights`)."
            )
        if format.startswith("litert") and layer.quantization_mode:
            raise ValueError(
                f"Layer {layer.name!r} is quantized to {layer.quantization_mode}, for which "
                f"format={format!r} has no operators. Export as format='onnx' or 'saved_model', or "
                "what it was before `quantize` as format='litert_int8'."
            )


@contextlib.contextmanager
def _temporary_folder(path, overwrite):
    """A folder beside `path` that goes with all that is still in it."""
    stem = f".{path.name[:100]}"
    with FileLock(path.with_name(f"{stem}.lock")):
        for leftover in path.parent.glob(f"{glob.escape(stem)}.*.tmp"):
            _remove(leftover, path)
        _check_overwrite(path, overwrite)
        folder = path.with_name(f"{stem}.{secrets.token_hex(4)}.tmp")
        folder.mkdir()
        try:
            yield folder
        finally:
            _remove(folder, path)


def _remove(folder, path):
    """Removes a temporary folder, and puts back what an unfinished export had replaced."""
    if not path.exists():
        # The card of an artifact that did not follow it.
        if (folder / path.name).exists() and not (folder / "card").exists():
            _card_path(path).unlink(missing_ok=True)
        for old, aside in _replaced(path, folder):
            if aside.exists():
                aside.rename(old)
    shutil.rmtree(folder)


def _write(detector, artifact, format):
    """Writes the artifact, and returns the function of images that it holds."""
    model = served_model(detector)
    try:
        if format == "saved_model":
            write_saved_model(model, artifact, detector.image_size is None)
        else:
            with plain_operators(model):
                if format == "onnx":
                    write_onnx(model, artifact)
                else:
                    write_litert(model, artifact, int8=format == "litert_int8")
        return FORMATS[format].runtime(artifact)
    except OSError:
        raise
    except Exception as error:  # what converters raise for what they lack has no common type
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        if lacking := re.search(r"'tf\.(\w+)' op is neither", str(error)):
            reason = f"it has the operation {lacking[1]}, which the format lacks."
        backend = keras.backend.backend()
        if format != "saved_model":
            way = "`format='saved_model'` has every operation."
        elif backend != "tensorflow":
            way = (
                f"{_OTHER_BACKEND} Some layers also need a fixed size on {backend}: give "
                "`image_size`."
            )
        else:
            way = "Save it as `.keras` instead."
        raise ValueError(
            f"Detector {detector.name!r} cannot be exported as format={format!r}: {reason} {way}"
        ) from error


def _description(detector):
    channels, _ = image_layout(detector.input_shape)
    lowest_fake, highest_real = detector.conformal_bounds or (None, None)
    return {
        "input": {
            "name": INPUT,
            "dtype": "uint8",
            "shape": ["batch", "height", "width", channels],
            "values": f"{_COLOURS.get(channels, f'{channels} channels')}, 0 to 255",
            "resized_inside_to": detector.image_size,
        },
        "output": {"name": OUTPUT, "dtype": "float32", "shape": ["batch", 2]},
        "class_names": detector.class_names,
        "fake_class": detector.class_names[detector.fake_index],
        "fake_index": detector.fake_index,
        "threshold": detector.threshold,
        "false_positive_rate": detector.false_positive_rate,
        "abstention": detector.conformal_bounds
        and {
            "may_be_fake_from": lowest_fake,
            "may_be_real_to": highest_real,
            "miscoverage": detector.miscoverage,
        },
    }


def _versions(format):
    backend = keras.backend.backend()
    names = dict.fromkeys(("keras", "tensorflow", backend, *FORMATS[format].packages))
    versions = {name: importlib.import_module(name).__version__ for name in names}
    return {"keras-deepfake": keras_deepfake.__version__, **versions, "backend": backend}
