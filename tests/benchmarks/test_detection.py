import json
import pathlib
import sys
import types

import keras
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import keras_deepfake as kd

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def detection(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import detection

    monkeypatch.setattr(sys.modules["detection_rows"], "TIMED_SECONDS", 0)
    yield detection
    for name in ("detection", "detection_rows", "detection_table"):
        del sys.modules[name]


def test_rows_resume_and_make_a_table(detection, tmp_path, capsys, monkeypatch):
    faces = kd.datasets.synthetic_faces(60, (32, 32), artifacts="blurred_face")
    for number, (image, fake) in enumerate(zip(faces.images, faces.labels[:, 0], strict=True)):
        folder = tmp_path / "faces" / ("fake" if fake else "real")
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"p{number // 3}_{number}.png"
        keras.utils.save_img(file, image, scale=False)
    results = tmp_path / "results.jsonl"
    options = ["--data", str(tmp_path / "faces"), "--group-pattern", r"p(\d+)_"]
    options += ["--other-data", str(tmp_path / "faces"), "--other-images", "20"]
    options += ["--results", str(results), "--seeds", "0", "--rows"]
    detection.main([*options, "cooccurrence"])
    first = results.read_text()
    detection.main([*options, "cooccurrence", "dct"])
    assert results.read_text().startswith(first)
    records = [json.loads(line) for line in results.read_text().splitlines()]
    assert [record["row"] for record in records] == ["cooccurrence", "dct"]
    # What is there is not made again.
    monkeypatch.setattr(detection, "measure", None)
    detection.main([*options, "cooccurrence", "dct"])

    test = records[0]["test"]
    assert test["is_fake"] == records[1]["test"]["is_fake"]
    capsys.readouterr()
    detection.main(["--table", "--results", str(results)])
    table = capsys.readouterr().out.splitlines()
    auc = roc_auc_score(test["is_fake"], test["scores"]["unchanged"])
    (row, changes) = (line for line in table if line.startswith("| Co-occurrences, solved head |"))
    assert f"| {auc:.3f} (" in row
    jpeg = roc_auc_score(test["is_fake"], test["scores"]["JPEG 50"])
    assert changes.split(" | ")[2].startswith(f"{jpeg:.3f} / ")
    assert "| Meso4 | not run |  |" in "\n".join(table)
    (dct,) = (record for record in records if record["row"] == "dct")
    (dct_row, _) = (line for line in table if line.startswith("| Block DCT"))
    first = roc_auc_score(dct["test"]["is_fake"], dct["test"]["scores"]["unchanged"])
    assert f"| {first:.3f} (" in dct_row
    # Less that of the first row of the table.
    assert f"| {auc - first:+.3f} (" in row
    # A row that was run with fewer seeds is nothing to compare the others with.
    more = detection.markdown([*records, {**records[0], "seed": 1}]).splitlines()
    assert any("AUC less that of “Co-occurrences, solved head”" in line for line in more)
    (dct_row, _) = (line for line in more if line.startswith("| Block DCT"))
    assert f"| {first - auc:+.3f} (" in dct_row


def test_seeds_share_no_test_images_and_parts_no_groups(detection, tmp_path):
    for name in ("fake", "real"):
        (tmp_path / name).mkdir()
        for number in range(40):
            file = tmp_path / name / f"p{number // 2}_{number}.png"
            keras.utils.save_img(file, np.full((8, 8, 3), number), scale=False)
    index = detection.read_index(tmp_path, r"p\d+")
    splits = [detection.split_index(index, seed) for seed in range(5)]
    tests = np.concatenate([split.test for split in splits])
    assert sorted(tests.tolist()) == list(range(80))
    for split in splits:
        parts = [set(split.groups(part)) for part in split[2:]]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 20
        assert sum(map(len, split[2:])) == 80


def test_networks_are_those_of_their_papers(detection):
    # The trainable parameters that the authors state, with two outputs in place of one.
    networks = sys.modules["detection_rows"]
    for network, stated in ((networks.meso4(), 27_977), (networks.meso_inception4(), 28_615)):
        count = sum(np.prod(weight.shape) for weight in network.trainable_weights)
        assert count == stated + 17


def test_kept_features_say_what_the_classifier_says(detection, tmp_path):
    rows = sys.modules["detection_rows"]
    random = np.random.default_rng(0)
    for name in ("fake", "real"):
        (tmp_path / name).mkdir()
        for number in range(20):
            image = random.uniform(0, 255, (16, 16, 3))
            keras.utils.save_img(tmp_path / name / f"{number}.png", image, scale=False)
    x = images = keras.Input((16, 16, 3))
    x = keras.layers.Reshape((4, 6))(keras.layers.Conv2D(6, 8, 8)(x))
    x = keras.layers.ZeroPadding1D((1, 0))(x)  # a class token
    for block in range(4, 10):
        x = keras.layers.Dense(6, "relu", bias_initializer="uniform", name=f"block_{block}")(x)
    keras.Model(images, x).save(tmp_path / "tokens.keras")
    split = detection.split_index(detection.read_index(tmp_path), 0)
    encodings = rows.Encodings(tmp_path / "kept", tokens=tmp_path / "tokens.keras")
    columns = {"tokens-4": 18, "tokens-7-class": 18, "tokens-7-mean": 18, "tokens-5-8": 72}
    for name, width in columns.items():
        (member,) = rows.ROWS[name].make(encodings, split)
        kernel, _ = member.classifier.get_layer("head").get_weights()
        assert len(kernel) == width
        assert np.any(kernel[6:12]) == (name != "tokens-7-class")
        said = rows.outputs(member.classifier, split.index.take(split.test), "JPEG 50")
        kept = member.log_odds(split.index, split.test, "JPEG 50")
        np.testing.assert_allclose(kept, np.log(said[:, 0] / said[:, 1]), atol=1e-4)


def test_few_images_are_as_many_of_each_class_of_the_training_part(detection):
    rows = sys.modules["detection_rows"]
    labels = np.repeat([0, 1], 50)
    index = types.SimpleNamespace(labels=labels)
    split = rows.Split(index, 0, np.arange(20, 90), np.arange(10), np.arange(90, 100))
    drawn = rows.drawn(split, 5)
    assert set(drawn) <= set(split.train)
    assert np.bincount(labels[drawn]).tolist() == [5, 5]
