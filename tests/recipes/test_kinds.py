import json

import keras
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import keras_deepfake as kd
from keras_deepfake.models import solved_head
from keras_deepfake.recipes import _solved_members
from keras_deepfake.recipes._encoded_views import EncodedViews, View
from keras_deepfake.recipes._network_encoders import read_encoder
from keras_deepfake.recipes._solved_members import number_kinds, solve_member
from keras_deepfake.recipes._stacked_members import check_training


def colours():
    """A network of any image that gives its mean colour."""
    images = keras.Input((None, None, 3), name="images")
    return keras.Model(images, kd.layers.MomentPooling(1)(images), name="colours")


def coloured(kinds, seed=0):
    """Images of which real ones are grey, those of kind 1 lighter, and those of kind 2 darker."""
    random = np.random.default_rng(seed)
    levels = np.array([0.5, 0.7, 0.3])[kinds] + random.normal(0, 0.04, len(kinds))
    images = levels[:, None, None, None] + random.normal(0, 0.02, (len(kinds), 8, 8, 3))
    return np.clip(images, 0, 1).astype("float32")


@pytest.mark.parametrize("class_names", [("fake", "real"), ("real", "fake")])
def test_no_one_plane_divides_what_a_plane_for_each_kind_does(class_names, tmp_path):
    kinds = np.arange(200) % 4 % 3  # as many reals as fakes
    images = coloured(kinds)
    features = images.mean(axis=(1, 2))
    views = EncodedViews(features, kinds > 0, np.arange(200), np.zeros(200, bool))
    fake = class_names.index("fake")
    unseen = np.arange(90) % 3
    aucs = []
    for labels, names in ((kinds, ["light", "dark"]), ((kinds > 0).astype(int), ["fake"])):
        member = solve_member(
            read_encoder(colours()), views, [3], np.arange(200), (labels, names), class_names,
            fake, 1, 0,
        )  # fmt: skip
        probabilities = member.classifier.predict(coloured(unseen, seed=1), verbose=0)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        aucs.append(roc_auc_score(unseen > 0, probabilities[:, fake]))
        # Heads that had not seen the images say much the same of them.
        if len(names) == 2:
            own = member.classifier.predict(images, verbose=0)[:, fake]
            assert np.mean(np.abs(own - 1 / (1 + np.exp(-member.log_odds)))) < 0.02
        detector = kd.models.Detector(member.classifier, class_names)
        np.testing.assert_allclose(
            detector.scores(coloured(unseen, seed=1)), probabilities[:, fake], atol=1e-6
        )
        detector.save(tmp_path / "detector.keras")
        loaded = keras.saving.load_model(tmp_path / "detector.keras")
        np.testing.assert_array_equal(loaded.scores(images), detector.scores(images))
    assert aucs[0] > 0.95
    assert aucs[1] < 0.7


def test_kinds_of_few_images_or_persons_are_together(monkeypatch):
    monkeypatch.setattr(_solved_members, "LEAST_IMAGES", 10)
    kinds = np.repeat(
        ["real", "swap", "gan", "edit", "blend", "one person"], [40, 30, 20, 6, 5, 20]
    )
    is_fake = kinds != "real"
    groups = np.arange(len(kinds))
    groups[kinds == "one person"] = 1000
    numbers, names = number_kinds(kinds, is_fake, groups)
    assert names == ["swap", "gan", "(others)"]
    expected = {"real": 0, "swap": 1, "gan": 2}
    assert numbers.tolist() == [expected.get(kind, 3) for kind in kinds]
    # Too few others are with the largest kind.
    few = kinds != "one person"
    few &= kinds != "edit"
    numbers, names = number_kinds(kinds[few], is_fake[few], groups[few])
    assert names == ["swap", "gan"]
    assert set(numbers[kinds[few] == "blend"]) == {1}
    for kept in (("real", "swap"), ("real", "swap", "edit")):
        rows = np.isin(kinds, kept)
        numbers, names = number_kinds(kinds[rows], is_fake[rows], groups[rows])
        assert names == ["fake"]
        assert numbers.tolist() == is_fake[rows].astype(int).tolist()
    many = [str(i % 30) for i in range(900)]
    assert len(number_kinds(many, np.ones(900, bool), np.arange(900))[1]) == 10 + 1


@pytest.mark.parametrize("fakes", ["given", "both", "blended"])
def test_the_recipe_tells_kinds_apart(fakes, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_solved_members, "LEAST_IMAGES", 10)
    monkeypatch.setattr(
        kd.recipes.detector_training, "cooccurrence_encoder", lambda: read_encoder(colours())
    )
    kinds = np.arange(80) % 4 % 3
    for i, (image, kind) in enumerate(zip(coloured(kinds), kinds, strict=True)):
        folder = tmp_path / "faces" / ("real", "fake/light", "fake/dark")[kind]
        folder.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(folder / f"{i}.png", 255 * image, scale=False)
    index = kd.datasets.ImageIndex.from_directory(tmp_path / "faces")
    trained = kd.recipes.train_detector(index, output=tmp_path / "detector", fakes=fakes, copies=0)
    printed = capsys.readouterr().out
    told = {"given": "dark, light\n", "both": "dark, light, (blends)\n"}
    assert ("heads tell apart: " in printed) == (fakes != "blended")
    assert told.get(fakes, "") in printed
    if fakes == "given":
        assert trained.report.metrics["auc"] > 0.9
        metrics = json.loads((tmp_path / "detector" / "metrics.json").read_text())
        assert metrics["kinds"] == ["dark", "light"]
    detector = kd.models.load_model(tmp_path / "detector" / "detector.keras")
    np.testing.assert_array_equal(
        detector.scores(coloured(kinds)), trained.detector.scores(coloured(kinds))
    )


def test_what_a_head_of_one_kind_refuses_is_told_before_anything_is_encoded():
    """All reals may fall into one part, where fakes of other kinds lie in the other."""
    # Images of reals and of three kinds, in each of four groups.
    counts = [[0, 46, 0, 7], [5, 0, 14, 38], [53, 1, 5, 4], [3, 0, 2, 57]]
    kinds = np.repeat(range(4), np.sum(counts, axis=1))
    groups = np.repeat(np.tile(range(4), 4), np.ravel(counts))
    view = View("clean", np.arange(len(kinds)))
    solved_head.check_solvable(kinds, 4, groups.tolist(), seed=0)  # all kinds in one
    with pytest.raises(ValueError, match="got none of class number 0"):
        check_training([view], kinds, ["a", "b", "c"], groups, "given", False, 0, None, None)
