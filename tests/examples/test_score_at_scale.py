import os
import pathlib
import runpy

import keras
import numpy as np
import pyarrow.parquet
import pytest
import ray

import keras_deepfake as kd

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "score_at_scale.py"


@pytest.fixture
def main(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(SCRIPT.parents[1]))
    yield runpy.run_path(str(SCRIPT))["main"]
    ray.shutdown()


def make_detector(path, bias=0.0):
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])
    classifier = kd.models.EncoderClassifier(encoder, pooling="avg")
    detector = kd.models.Detector(classifier, bias=bias)
    detector.save(path)
    return detector


def write_image(path):
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(len(path))
    keras.utils.save_img(path, random.uniform(0, 255, (8, 8, 3)), scale=False)


def dying(scorer, marker):
    """A scorer whose process dies once, after a shard is written and before it is reported."""

    class Dying(scorer):
        def score(self, names):
            import os
            import signal

            counts = super().score(names)
            if not os.path.exists(marker):
                open(marker, "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            return counts

    return Dying


def rows():
    tables = [pyarrow.parquet.read_table(path) for path in pathlib.Path("out").glob("*.parquet")]
    return sorted((row for table in tables for row in table.to_pylist()), key=lambda x: x["path"])


def test_a_killed_worker_and_a_restart_lose_and_repeat_nothing(main, tmp_path, capsys):
    detector = make_detector("detector.keras")
    for i in range(7):
        write_image(f"in/{'ab'[i % 2]}/{'x' * i}{i}.png")
    pathlib.Path("in/broken.png").write_bytes(b"no image")
    arguments = ["detector.keras", "in", "out", "--shard-size", "3"]
    main.__globals__["Scorer"] = dying(main.__globals__["Scorer"], str(tmp_path / "marker"))
    main(arguments)
    assert pathlib.Path("marker").exists()
    assert "8 images in 3 shards; 0 have been scored before" in capsys.readouterr().out
    expected = kd.evaluation.predict_images(detector, "in")
    assert [row["path"] for row in rows()] == [row.path[len("in/") :] for row in expected]
    for found, row in zip(rows(), expected, strict=True):
        assert (found["verdict"], found["error"] is None) == (row.verdict, row.error is None)
        if row.error is None:
            assert found["fake"] == pytest.approx(row.probabilities[detector.fake_index], abs=1e-6)
    assert [row["path"] for row in rows() if row["error"]] == ["broken.png"]

    written = {path: path.stat().st_mtime_ns for path in pathlib.Path("out").glob("*.parquet")}
    write_image("in/c/new.png")
    main(arguments)
    assert "1 images in 1 shards; 8 have been scored before" in capsys.readouterr().out
    assert len(rows()) == 9
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())

    make_detector("other.keras", bias=1.0)
    with pytest.raises(SystemExit, match="scores of another model"):
        main(["other.keras", *arguments[1:]])


def test_names_of_any_bytes(main, capsys):
    make_detector("detector.keras")
    write_image("in/a.png")
    os.rename("in/a.png", b"in/a\xff.png")
    arguments = ["detector.keras", "in", "out"]
    main(arguments)
    assert [row["path"] for row in rows()] == ["a\\udcff.png"]
    assert rows()[0]["error"] is None
    main(arguments)
    assert "0 images in 0 shards; 1 have been scored before" in capsys.readouterr().out


def test_mistakes_are_told_before_ray_starts_and_leave_nothing(main, monkeypatch):
    monkeypatch.setattr(ray, "init", lambda *args, **kwargs: pytest.fail("has begun"))
    make_detector("detector.keras")
    inputs = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    keras.Model(inputs, keras.layers.Dense(2, "softmax")(pooled)).save("plain.keras")
    write_image("in/a.png")
    pathlib.Path("empty").mkdir()
    for arguments, message in (
        (["detector.keras", "missing", "out"], "there is no folder"),
        (["detector.keras", "in/a.png", "out"], "there is no folder"),
        (["detector.keras", "in", "in/out"], "OUT must not lie in IN"),
        (["detector.keras", "empty", "out"], "there are no files"),
        (["plain.keras", "in", "out"], "Nothing says which class"),
        (["missing.keras", "in", "out"], "missing.keras"),
    ):
        with pytest.raises(SystemExit, match=message):
            main(arguments)
        assert not pathlib.Path("out").exists()
        assert not pathlib.Path("in/out").exists()
