import json
import re

import keras
import numpy as np
import pytest
from sklearn import metrics

import keras_deepfake as kd

# A fake of each kind is bright in one channel; only those of the first overlap with the reals.
CHANNELS = {"pale": 0, "green": 1, "blue": 2}


def write_faces(folder, count=60, fake="fake"):
    rng = np.random.default_rng(0)
    for place in range(count):
        kind = [*CHANNELS][place // 2 % 3] if place % 2 else None
        name = folder / (f"{fake}/{kind}" if kind else "real/camera")
        name.mkdir(parents=True, exist_ok=True)
        image = np.full((4, 4, 3), 40.0) + rng.uniform(0, 40, 3)
        if kind:
            image[..., CHANNELS[kind]] += 20 if kind == "pale" else 120
        keras.utils.save_img(name / f"p{place // 4}_{place}.png", image, scale=False)


@pytest.fixture
def index(tmp_path):
    write_faces(tmp_path / "faces")
    return kd.datasets.ImageIndex.from_directory(
        tmp_path / "faces", class_names=("real", "fake"), groups=re.compile("^p[0-9]+")
    )


class Training:
    """Makes detectors that look at the channels of the kinds that they were given."""

    def __init__(self, fake="fake"):
        self.fake = fake
        self.parts = []

    def __call__(self, part):
        self.parts.append(part)
        inputs = keras.Input((4, 4, 3))
        mean = keras.layers.GlobalAveragePooling2D()(inputs)
        head = keras.layers.Dense(1, "sigmoid")
        model = keras.Model(inputs, head(mean))
        kernel = np.array([[10.0 * (kind in part.kinds)] for kind in CHANNELS])
        names = ("real", self.fake)
        head.set_weights([kernel, -3 - kernel.sum(axis=0) * 0.2])
        return kd.models.Detector(model, class_names=names, fake_class=self.fake)


def no_training(part):
    raise AssertionError("trained before everything was checked")


def test_every_kind_is_held_out_once(index):
    train = Training()
    report = kd.evaluation.evaluate_by_held_out_kind(
        train, index, test_fraction=0.4, num_resamples=50, verbose=0
    )
    assert {row.kind for row in report.rows} == set(CHANNELS)
    aucs = [row.held_out["auc"] for row in report.rows]
    assert aucs == sorted(aucs)
    # All trainings have the same reals, and the fakes of all kinds but one.
    reals = [{path for path in part.paths if "/real/" in path} for part in train.parts]
    assert reals[0] == reals[1] == reals[2]
    assert [set(part.kinds) for part in train.parts] == [
        {"camera", *CHANNELS} - {kind} for kind in sorted(CHANNELS)
    ]
    training = set().union(*(part.paths for part in train.parts))
    test = index.take([i for i, path in enumerate(index.paths) if path not in training])
    assert 0.3 < len(test) / len(index) < 0.5
    groups = {re.search("p[0-9]+", path)[0] for path in training}
    assert not groups & set(test.groups)
    assert report.num_real == sum(test.labels == 0)

    by_kind = {row.kind: row for row in report.rows}
    for kind, part in zip(sorted(CHANNELS), train.parts, strict=True):
        scores = Training()(part).scores(test)
        kinds = np.where(test.labels == 1, test.kinds, "")
        for figures, chosen in (
            (by_kind[kind].held_out, kinds == kind),
            (by_kind[kind].known, (kinds != kind) & (kinds != "")),
        ):
            shown = chosen | (kinds == "")
            expected = metrics.roc_auc_score(chosen[shown], scores[shown])
            assert figures["auc"] == pytest.approx(expected, abs=1e-9)
            assert figures["recall_fake"] == pytest.approx(np.mean(scores[chosen] >= 0.5))
            assert figures["n"] == chosen.sum()
            assert np.isfinite(figures["intervals"]["auc"]).all()
    assert by_kind["green"].held_out["auc"] < 0.8 < by_kind["green"].known["auc"]


def test_seed_decides_the_division(index):
    reports = []
    for seed in (1, 1, 2):
        train = Training()
        report = kd.evaluation.evaluate_by_held_out_kind(
            train, index, num_resamples=5, seed=seed, verbose=0
        )
        reports.append((train.parts[0].paths, report.to_json()))
    assert reports[0] == reports[1]
    assert reports[0][0] != reports[2][0]


def test_result_is_printed_and_saved(index, tmp_path, capsys):
    report = kd.evaluation.evaluate_by_held_out_kind(Training(), index, num_resamples=20)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Kind 1 of 3, blue: training without it, ImageIndex(")
    assert re.fullmatch(r"  AUC 0\.\d{3}; of the kinds known [01]\.\d{3}", lines[1])
    text = str(report)
    assert "Of 3 kinds of forgery each was left out" in text
    worst = report.rows[0]
    assert re.search(rf"\n{worst.kind} +{worst.held_out['n']} +{worst.held_out['auc']:.3f} ", text)
    table = report.table()
    assert table[0][:3] == ("kind", "num_fake", "auc")
    assert table[1] == (
        worst.kind,
        worst.held_out["n"],
        worst.held_out["auc"],
        *worst.held_out["intervals"]["auc"],
        worst.held_out["recall_fake"],
        worst.known["auc"],
        *worst.known["intervals"]["auc"],
        worst.known["recall_fake"],
    )
    figures = json.loads(report.to_json())
    assert figures["rows"][0]["known"]["tpr_at_fpr_5"] == worst.known["tpr_at_fpr_5"]
    assert (figures["seed"], figures["test_fraction"]) == (0, 0.3)
    report.save(tmp_path / "kinds.html")
    assert "<h1>Kinds held out</h1>" in (tmp_path / "kinds.html").read_text(encoding="utf-8")


def test_fake_class_of_another_name(tmp_path):
    write_faces(tmp_path / "faces", fake="swap")
    index = kd.datasets.ImageIndex.from_directory(tmp_path / "faces", class_names=("real", "swap"))
    arguments = {"num_resamples": 5, "verbose": 0}
    # The one recognised class of two suffices.
    report = kd.evaluation.evaluate_by_held_out_kind(Training("swap"), index, **arguments)
    assert len(report.rows) == 3
    told = kd.evaluation.evaluate_by_held_out_kind(
        Training("swap"), index, fake_class="swap", **arguments
    )
    assert told.to_json() == report.to_json()


def kinds_of(index, kinds):
    return kd.datasets.ImageIndex.from_paths(
        index.paths, index.labels, index.class_names, index.groups, kinds
    )


def test_what_cannot_be_evaluated_is_told_before_the_first_training(index, tmp_path):
    kinds = np.array(index.kinds)
    one = index.take(np.flatnonzero((kinds == "blue") | (kinds == "camera")))
    nameless = kinds_of(index, np.where(kinds == "blue", "fake", kinds).tolist())
    rare = np.where(kinds == "blue", "green", kinds)
    rare[np.flatnonzero(rare == "green")[0]] = "rare"
    few_reals = index.take(
        [*np.flatnonzero(kinds == "camera")[:1], *np.flatnonzero(index.labels == 1)]
    )
    unlabelled = kd.datasets.ImageIndex.from_directory(tmp_path / "faces", class_names=None)
    for wrong, message in (
        ("faces", "`index` must be a labelled `ImageIndex`; got 'faces'"),
        (unlabelled, "must be a labelled `ImageIndex`"),
        (one, r"two or more kinds; got \['blue'\]"),
        (nameless, "10 fakes without a kind, which may be of any, such as '"),
        (kinds_of(index, rare.tolist()), "too few fakes of the kind rare .* 1 images in 1 groups"),
        (index.take(np.flatnonzero(index.labels == 1)), "`index` must hold reals; got .* 0 "),
        (few_reals, "too few reals for training and test at `test_fraction`=0.3: 1 images"),
    ):
        with pytest.raises(ValueError, match=message):
            kd.evaluation.evaluate_by_held_out_kind(no_training, wrong)
    for arguments, message in (
        ({"test_fraction": 1}, "`test_fraction` must be"),
        ({"batch_size": 0}, "`batch_size` must be"),
        ({"image_size": 4}, "`image_size` must be"),
        ({"num_resamples": 0}, "`num_resamples` must be"),
        ({"seed": -1}, "`seed` must be"),
        ({"verbose": 2}, "`verbose` must be"),
        ({"fake_class": "swap"}, "`fake_class` must be"),
    ):
        with pytest.raises(ValueError, match=message):
            kd.evaluation.evaluate_by_held_out_kind(no_training, index, **arguments)
    with pytest.raises(ValueError, match=r"`train` must be a function .* got str"):
        kd.evaluation.evaluate_by_held_out_kind("train", index)
    with pytest.raises(ValueError, match="`train` must return a Keras model; got NoneType"):
        kd.evaluation.evaluate_by_held_out_kind(lambda part: None, index, verbose=0)
