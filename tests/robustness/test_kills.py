"""What was killed shows nothing half done, goes on when started again, and ends the same."""

import contextlib
import csv
import hashlib
import io
import json
import os
import select
import signal
import subprocess
import sys
import time
import zipfile

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

import keras_deepfake as kd
from tests.robustness.counts import KILLS

# Everything is imported once, which is most of the time of such small runs; every run is a fork.
SCRIPT = """
import json, os, sys
import tensorflow as tf
import keras_deepfake
tf.config.run_functions_eagerly(True)
tf.config.experimental.enable_op_determinism()
from keras_deepfake_commands import main
for line in sys.stdin:
    folder, arguments = json.loads(line)
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.setsid()
    os.chdir(folder)
    log = os.open("log", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    os.dup2(log, 2)
    print(os.getpid(), flush=True)
    os.dup2(log, 1)
    main(arguments)
    break
"""
STUDY = "--image-size 32 --filters 4 4 --epochs-autoencoder 2 --epochs-classifier 2"
SEARCH = "--max-trials 2 --epochs 2 --pretraining-epochs 1 --image-size 16 --max-filters 8"
COMMANDS = {
    "study": f"train --data ../data --output results {STUDY}",
    "recommended": "train --preset recommended --data ../data --output results",
    "search": f"tune --data ../data --output results {SEARCH}",
    "evaluation": "evaluate ../detector.keras ../data --audit --output results/report.html",
    "export": "export ../detector.keras results/detector.onnx",
}
# What two runs of a command do not share: converters number what they name.
VARYING = ("seconds", "peak_memory", "sha256")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Faces and a detector, and room for folders to run in."""
    folder = tmp_path_factory.mktemp("kills")
    faces = kd.datasets.synthetic_faces(80, (32, 32))
    for number, (image, fake) in enumerate(zip(faces.images, faces.labels[:, 0], strict=True)):
        part = folder / "data" / ("fake" if fake else "real")
        part.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(part / f"{number}.png", image, scale=False)
    autoencoder = kd.ConvAutoencoder((32, 32, 3), (4, 4))
    kd.EncoderClassifier.from_autoencoder(autoencoder).save(folder / "detector.keras")
    return folder


@pytest.fixture(scope="module")
def starter():
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    ) as process:
        yield process
        process.stdin.close()


def start(starter, name, folder, kill_after=None):
    """Runs a command, and returns the seconds until its end, or `None` if it was killed before."""
    if name in ("evaluation", "export"):
        (folder / "results").mkdir(exist_ok=True)
    starter.stdin.write(json.dumps([str(folder), COMMANDS[name].split()]).encode() + b"\n")
    starter.stdin.flush()
    process = int(starter.stdout.readline())
    begin = time.monotonic()
    if not select.select([starter.stdout], [], [], kill_after)[0]:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.killpg(process, signal.SIGKILL)
    code = int(starter.stdout.readline())
    if code == -signal.SIGKILL:
        return None
    assert code == 0, (folder / "log").read_text()
    return time.monotonic() - begin


def results(folder):
    """What the files under their final names hold; raises if one is not whole."""
    read = {}
    for file in (folder / "results").rglob("*"):
        parts = file.relative_to(folder).parts
        # A search keeps KerasTuner's own files in trials/.
        if file.is_file() and "trials" not in parts and not any(p[0] == "." for p in parts):
            read[file.name] = READERS[file.suffix](file)
    # KerasTuner writes the weights itself; those of a trial that counts are whole.
    for trial in folder.rglob("trial.json"):
        if json.loads(trial.read_text())["status"] == "COMPLETED":
            h5py.File(trial.with_name("checkpoint.weights.h5")).close()
    return read


def read_model(path):
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        json.loads(archive.read("config.json"))
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights:
            weights.visititems(
                lambda name, item: (
                    arrays.update({name: item[()].tobytes()})
                    if isinstance(item, h5py.Dataset)
                    else None
                )
            )
    return arrays


def read_json(path):
    content = json.loads(path.read_text())
    if path.name == "detector.onnx.json":
        model = path.with_suffix("")
        if model.exists():
            assert content["sha256"][model.name] == hashlib.sha256(model.read_bytes()).hexdigest()
    return without_varying(content)


def without_varying(content):
    if isinstance(content, dict):
        return {k: without_varying(v) for k, v in content.items() if not k.startswith(VARYING)}
    return content


def read_csv(path):
    text = path.read_text()
    assert text.endswith("\n")
    heads, *rows = csv.reader(io.StringIO(text))
    assert all(len(row) == len(heads) for row in rows)
    return [without_varying(dict(zip(heads, row, strict=True))) for row in rows]


def read_page(path):
    return path.read_text().rstrip().endswith("</html>") or pytest.fail(f"{path} is cut")


def read_picture(path):
    with Image.open(path) as image:
        return image.size, bool(image.load())


def read_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [output.name for output in session.get_outputs()]


def read_text(path):
    return path.read_text()


READERS = {
    ".keras": read_model,
    ".json": read_json,
    ".csv": read_csv,
    ".html": read_page,
    ".png": read_picture,
    ".onnx": read_onnx,
    ".txt": read_text,
}


@pytest.mark.parametrize(("name", "kills"), KILLS.items())
def test_a_killed_run_ends_as_one_that_was_let_alone(name, kills, folder, starter):
    whole = folder / f"{name}-whole"
    whole.mkdir()
    duration = start(starter, name, whole)
    expected = results(whole)
    assert expected

    random = np.random.default_rng(kills)
    run = folder / f"{name}-0"
    run.mkdir()
    killed = 0
    for number in range(kills):
        killed += start(starter, name, run, kill_after=random.uniform(0, duration)) is None
        if results(run) == expected:  # it was quicker than the first one
            run = folder / f"{name}-{number + 1}"
            run.mkdir()
    assert killed
    start(starter, name, run)
    assert results(run) == expected
    if name == "export":
        assert len(list((run / "results").iterdir())) == len(expected)  # no leftovers
