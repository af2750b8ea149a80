import numpy as np
import pytest

from keras_deepfake.audit._shortcut_auc import _auc_within_folds, shortcut_auc


def test_auc_counts_pairs_of_the_same_fold():
    # Two folds of three and two scores; fakes and reals at each, in rising order.
    fakes, reals = np.array([[1.0, 0, 2, 0, 3]]), np.array([[2.0, 1, 1, 4, 1]])
    wins = (1 * 2 / 2) + 2 * (2 + 1 + 1 / 2) + 3 * (4 + 1 / 2)
    pairs = 3 * 4 + 3 * 5
    assert _auc_within_folds(fakes, reals, [0, 3]) == pytest.approx([wins / pairs])
    assert np.isnan(_auc_within_folds(0 * fakes, reals, [0, 3])[0])


@pytest.mark.parametrize(
    "values",
    [
        np.where(np.arange(80) % 2, "png", "jpg"),
        (np.arange(80) % 2).astype(float),
        # Fakes at both ends.
        np.where(np.arange(80) % 2, np.where(np.arange(80) % 4 == 1, -1.0, 1.0), 0.0),
    ],
)
def test_a_property_of_one_class_only(values):
    result = shortcut_auc(values, np.arange(80) % 2 == 1, np.arange(80), seed=0)
    assert result[:3] == (1, 1, 1)


def test_a_useless_property_scores_half():
    rng = np.random.default_rng(0)
    fake = np.arange(60) % 2 == 0
    results = [
        shortcut_auc(values, fake, np.arange(60), seed=seed)
        for seed in range(25)
        for values in (rng.normal(size=60), rng.choice(["a", "b", "c"], 60))
    ]
    assert np.mean([result.auc for result in results]) == pytest.approx(0.5, abs=0.04)
    assert max(result.low for result in results) < 0.6
    constant = shortcut_auc(np.full(60, "a"), fake, np.arange(60), seed=0)
    assert constant[:3] == (0.5, 0.5, 0.5)


def test_too_few_groups():
    fake = np.arange(40) % 2 == 0
    assert shortcut_auc(np.ones(40), fake, np.arange(40) % 8, seed=0) is None
    assert shortcut_auc(np.ones(40), fake, np.arange(40) % 10, seed=0) is not None
