"""Damaged model files are refused, or give the weights that were saved, bit for bit."""

import io
import json
import warnings
import zipfile

import h5py
import keras
import numpy as np
import pytest

import keras_deepfake as kd
from tests.callbacks.test_resume_file import begin, everything, fit, plain_model
from tests.robustness.counts import MODELS

WEIGHTS = "model.weights.h5"


@keras.saving.register_keras_serializable("tests.robustness")
class NoModel(keras.layers.Layer):
    pass


def classifier():
    encoder = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization()]
    )
    return kd.models.EncoderClassifier(encoder, pooling="avg")


def bits(model):
    return [np.asarray(variable).tobytes() for variable in model.variables]


def damaged(content, kind, rng):
    """Bytes with some bits flipped (0), cut (1), or with a stretch of others (2)."""
    changed = bytearray(content)
    if kind == 0:
        for _ in range(int(rng.integers(1, 9))):
            changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del changed[int(rng.integers(len(changed))) :]
    else:
        start = int(rng.integers(len(changed)))
        changed[start : start + 32] = rng.bytes(32)
    return bytes(changed)


def without(weights, rng):
    """The HDF5 file without one of its arrays or groups, and with another that none asked for."""
    file = io.BytesIO(weights)
    with h5py.File(file, "r+") as h5:
        names = []
        h5.visit(names.append)
        del h5[names[rng.integers(len(names))]]
        h5["layers/extra/vars/0"] = np.zeros(3)
    return file.getvalue()


def pack(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def unpack(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def every_place(value):
    """Yields `(holder, key)` of everything inside nested lists and dictionaries."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from every_place(value[key])


def foreign(config, rng, target):
    """The configuration with one class replaced by what would write to `target`."""
    config = json.loads(config)
    classes = [
        holder[key]
        for holder, key in [({"": config}, ""), *every_place(config)]
        if isinstance(holder[key], dict) and "class_name" in holder[key]
    ]
    code = f"open({str(target)!r}, 'w').close()"
    replacement = [
        {"module": "builtins", "class_name": "exec", "config": {"source": code}},
        {"module": "os", "class_name": "system", "config": {"command": f"touch {target}"}},
        {"module": "subprocess", "class_name": "Popen", "config": {"args": ["touch", str(target)]}},
        lambda_layer(target),
    ][rng.integers(4)]
    chosen = classes[rng.integers(len(classes))]
    chosen.clear()
    chosen.update(replacement)
    return json.dumps(config)


def lambda_layer(target):
    layer = keras.layers.Lambda(eval(f"lambda x: open({str(target)!r}, 'w') and x"))
    return keras.saving.serialize_keras_object(layer)


def test_keras_files(tmp_path):
    rng = np.random.default_rng(0)
    model = classifier()
    path, target = tmp_path / "model.keras", tmp_path / "executed"
    model.save(path)
    whole, expected, loaded = path.read_bytes(), bits(model), 0
    members = unpack(whole)
    for i in range(MODELS // 2):
        kind = i % 6
        if kind < 3:
            content = damaged(whole, kind, rng)
        elif kind == 3:
            content = pack({**members, WEIGHTS: without(members[WEIGHTS], rng)})
        elif kind == 4:
            content = pack({**members, "config.json": foreign(members["config.json"], rng, target)})
        else:
            # Checksums that fit: a file that somebody has unpacked, damaged and packed.
            content = pack({**members, WEIGHTS: damaged(members[WEIGHTS], 1, rng)})
        path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read = kd.models.load_model(path)
        except ValueError as refusal:
            message = str(refusal)
        else:
            loaded, message = loaded + 1, str(path)
            assert bits(read) == expected, (i, kind)
        assert str(path) in message, i
        assert not target.exists(), i
    assert loaded < MODELS // 4
    path.write_bytes(whole)
    assert bits(kd.models.load_model(path)) == expected


def test_every_bit_of_an_array_counts(tmp_path):
    model = keras.Sequential([keras.Input((200,)), keras.layers.Dense(300)])
    path = tmp_path / "model.keras"
    model.save(path)
    whole = path.read_bytes()
    array = bits(model)[0]
    start = whole.index(array)
    rng = np.random.default_rng(1)
    for at in [0, len(array) - 1, *rng.integers(len(array), size=5)]:
        changed = bytearray(whole)
        changed[start + at] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ValueError, match="CRC"):
            kd.models.load_model(path)


def test_file_of_another_class(tmp_path):
    path = tmp_path / "layer.keras"
    model = keras.Sequential([keras.Input((3,)), NoModel()])
    model.save(path)
    members = unpack(path.read_bytes())
    config = keras.saving.serialize_keras_object(NoModel())
    path.write_bytes(pack({**members, "config.json": json.dumps(config)}))
    with pytest.raises(ValueError, match=r"layer\.keras"):
        kd.models.load_model(path)


def test_weights_files_leave_a_model_that_refuses_them_unchanged(tmp_path):
    rng = np.random.default_rng(2)
    saved, model = classifier(), classifier()
    path = tmp_path / "model.weights.h5"
    saved.save_weights(path)
    whole, before, refused = path.read_bytes(), bits(model), 0
    for i in range(MODELS // 4):
        path.write_bytes(damaged(whole, 1, rng) if i % 2 else without(whole, rng))
        try:
            model.load_weights(path)
        except (OSError, ValueError, KeyError, RuntimeError):  # as Keras and HDF5 raise it
            refused += 1
            assert bits(model) == before, i
        else:
            assert bits(model) == bits(saved), i
            model = classifier()
            before = bits(model)
    assert refused > MODELS // 10
    path.write_bytes(whole)
    model.load_weights(path)
    assert bits(model) == bits(saved)


def test_resume_states(tmp_path):
    rng = np.random.default_rng(3)
    path = tmp_path / "resume.state"
    trained = plain_model()
    fit(trained, path)
    whole = path.read_bytes()
    model = plain_model()
    model.optimizer.build(model.trainable_variables)
    model.history = keras.callbacks.History()
    before = everything(model)
    expected = [np.asarray(v).tobytes() for v in (*trained.variables, *trained.optimizer.variables)]
    for i in range(MODELS // 4):
        path.write_bytes(damaged(whole, i % 3, rng))
        try:
            begin(model, path)
        except ValueError as refusal:
            message = str(refusal)
            assert everything(model) == before, i
        else:
            message = str(path)
            assert everything(model)[0] == expected, i
            before = everything(model)
        assert str(path) in message, i
