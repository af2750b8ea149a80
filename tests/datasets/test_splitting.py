import os
import random

import numpy as np
import pytest

from keras_deepfake.datasets import ImageIndex, _splitting
from keras_deepfake.datasets._splitting import check_positions
from tests.datasets.small_folders import names


def stub(counts, groups=None):
    """An index without files, to test splits of any size."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return ImageIndex(
        paths=tuple(f"{i}.jpg" for i in range(len(labels))),
        labels=labels,
        class_names=tuple(f"class{i}" for i in range(len(counts))),
        kinds=("",) * len(labels),
        groups=groups,
        skipped=(),
        headers=np.zeros((len(labels), 3), "int64"),
    )


@pytest.mark.parametrize(
    ("counts", "fractions", "sizes"),
    [
        ((5000, 5000), (0.7, 0.15, 0.15), (7000, 1500, 1500)),
        ((3000, 3000), (0.8, 0.1, 0.1), (4800, 600, 600)),
        ((71, 29), (0.29, 0.71), (29, 71)),
        ((15, 15), (1 / 3, 1 / 3, 1 / 3), (10, 10, 10)),
        ((2, 2, 1), (0.5, 0.5), (3, 2)),
    ],
)
def test_split_sizes_are_exact(counts, fractions, sizes):
    index = stub(counts)
    parts = index.split(fractions, seed=0)
    assert tuple(map(len, parts)) == sizes
    assert sorted(path for part in parts for path in part.paths) == sorted(index.paths)
    for part, fraction in zip(parts, fractions, strict=True):
        share = np.bincount(part.labels, minlength=len(counts)) - np.array(counts) * fraction
        assert np.abs(share).max() < 1


def test_sizes_are_largest_remainders_for_any_counts():
    rng = np.random.default_rng(0)
    for _ in range(300):
        counts = rng.integers(0, 30, rng.integers(1, 5)) + 1
        fractions = rng.dirichlet(np.ones(rng.integers(2, 6)))
        cells = _splitting.allocate(counts.tolist(), fractions)
        assert cells.sum(axis=1).tolist() == counts.tolist()
        exact = counts.sum() * fractions
        sizes = np.floor(exact)
        sizes[np.argsort(sizes - exact)[: int(counts.sum() - sizes.sum())]] += 1
        assert cells.sum(axis=0).tolist() == sizes.tolist()
        assert np.abs(cells - np.outer(counts, fractions)).max() < 1


def test_split_without_stratification():
    splits = [stub((50, 50)).split((0.5, 0.5), seed=i, stratify=False) for i in range(5)]
    assert all([len(part) for part in parts] == [50, 50] for parts in splits)
    assert {int(parts[0].labels.sum()) for parts in splits} != {25}


def test_seeds():
    index = stub((50, 50))
    for draw in (
        lambda seed: index.split((0.5, 0.5), seed=seed)[0].paths,
        lambda seed: index.subset(0.5, seed=seed).paths,
        lambda seed: index.balanced(seed=seed).paths,
    ):
        assert draw(0) == draw(0)
        assert draw(0) != draw(1)
        assert list(draw(0)) != sorted(draw(0))
    # Written down, so that no release of NumPy or of the library changes a split unseen.
    assert names(index.subset(0.04, seed=7)) == ["96.jpg", "98.jpg", "6.jpg", "37.jpg"]
    for seed in (-1, 0.5, None, True):
        with pytest.raises(ValueError, match="seed"):
            index.subset(0.5, seed=seed)


def test_the_listing_order_does_not_matter(faces, monkeypatch):
    expected = ImageIndex.from_directory(faces).split((0.5, 0.5), seed=3)
    scandir = os.scandir

    def shuffled(path):
        entries = list(scandir(path))
        random.Random(str(path)).shuffle(entries)
        return entries

    monkeypatch.setattr("os.scandir", shuffled)
    found = ImageIndex.from_directory(faces).split((0.5, 0.5), seed=3)
    assert [part.paths for part in found] == [part.paths for part in expected]


def test_balanced_and_subset():
    index = stub((30, 100))
    balanced = index.balanced(seed=0)
    assert np.bincount(balanced.labels).tolist() == [30, 30]
    assert len(set(balanced.paths)) == 60
    subset = index.subset(0.3, seed=0)
    assert np.bincount(subset.labels).tolist() == [9, 30]
    assert sorted(index.subset(1, seed=0).paths) == sorted(index.paths)
    for fraction in (0, -0.1, 1.1):
        with pytest.raises(ValueError, match="fraction"):
            index.subset(fraction, seed=0)
    with pytest.raises(ValueError, match="less than one image"):
        index.subset(0.001, seed=0)


@pytest.mark.parametrize("fractions", [(0.5, 0.4), (1.5, -0.5), (0.5, 0.5, 0.0), 1.0])
def test_bad_fractions(fractions):
    with pytest.raises(ValueError, match="sum"):
        stub((10, 10)).split(fractions, seed=0)


def test_empty_parts():
    with pytest.raises(ValueError, match=r"part of 0\.01 empty: there are only 20 images"):
        stub((10, 10)).split((0.99, 0.01), seed=0)
    with pytest.raises(ValueError, match="20 images in 2 groups"):
        stub((20,), groups=("a",) * 5 + ("b",) * 15).split((0.4, 0.3, 0.3), seed=0)


def test_parts_of_one_class():
    with pytest.raises(ValueError, match=r"part of 0\.1 with images of 'class1' only") as caught:
        stub((2, 20)).split((0.8, 0.1, 0.1), seed=0)
    assert "2 class0, 20 class1" in str(caught.value)
    # One group alone has fakes.
    index = stub((10, 30), groups=("a",) * 10 + tuple(range(30)))
    with pytest.raises(ValueError, match=r"'class1' only.*smaller groups"):
        index.split((0.5, 0.5), seed=0)
    with pytest.raises(ValueError, match="stratify=True"):
        stub((1, 99)).split((0.99, 0.01), seed=1, stratify=False)
    # Nothing else is to be had of an index of one class, or without labels.
    assert [len(part) for part in stub((8,)).split((0.5, 0.5), seed=0)] == [4, 4]
    assert [len(part) for part in stub((8, 0)).split((0.5, 0.5), seed=0)] == [4, 4]
    with pytest.raises(ValueError, match=r"part of 0\.1 "):
        stub((0, 3, 3, 30)).split((0.1, 0.1, 0.8), seed=0)


def test_splits_share_no_group():
    rng = np.random.default_rng(0)
    for seed in range(20):
        # Persons with about as many fakes as reals, of very different sizes.
        people = rng.integers(0, 60, 1000) ** 2 % 53
        index = stub((500, 500), groups=tuple(int(p) for p in people))
        largest = np.bincount(people).max()
        parts = index.split((0.7, 0.15, 0.15), seed=seed)
        assert sum(map(len, parts)) == 1000
        for part, fraction in zip(parts, (0.7, 0.15, 0.15), strict=True):
            assert abs(len(part) - 1000 * fraction) <= largest
            assert abs(part.labels.mean() - 0.5) < 0.1
        groups = [set(part.groups) for part in parts]
        assert len(set.union(*groups)) == sum(map(len, groups))
    assert set(index.split((0.5, 0.5), seed=1)[0].groups) != set(
        index.split((0.5, 0.5), seed=2)[0].groups
    )


def test_groups_of_one_class_are_stratified():
    # Every group is wholly fake or wholly real, in unequal numbers.
    index = stub((200, 600), groups=tuple(i // 4 for i in range(800)))
    for part, size in zip(index.split((0.5, 0.25, 0.25), seed=0), (400, 200, 200), strict=True):
        assert abs(len(part) - size) <= 4
        assert abs((part.labels == 0).sum() - size / 4) <= 4


def test_every_part_has_both_classes_where_the_groups_allow():
    for count in (2, 3, 8):
        index = stub((5 * count, 5 * count), groups=tuple(i // 5 for i in range(10 * count)))
        fractions = (0.8, 0.1, 0.1) if count > 2 else (0.8, 0.2)
        for seed in range(10):
            parts = index.split(fractions, seed=seed)
            assert sum(map(len, parts)) == len(index)
            assert all(set(part.labels) == {0, 1} for part in parts)


def test_the_largest_share_is_the_largest_part():
    # Groups of one class or both, of which each part needs some.
    counts = {"a": (5, 0), "b": (2, 0), "c": (0, 6), "d": (0, 6), "e": (3, 2)}
    groups = [g for g, (fakes, _) in counts.items() for _ in range(fakes)]
    groups += [g for g, (_, reals) in counts.items() for _ in range(reals)]
    for seed in range(8):
        parts = stub((10, 14), groups=tuple(groups)).split((0.1, 0.8, 0.1), seed=seed)
        assert sorted(map(len, parts)) == [5, 8, 11]
        assert len(parts[1]) == 11
        assert all(set(part.labels) == {0, 1} for part in parts)


def test_positions_are_integers_or_a_mask():
    mask = [True, False, True]
    for positions in ([0, 2], (0, 2), np.array([0, 2]), mask, np.array(mask), iter([0, 2])):
        assert check_positions(positions, 3).tolist() == [0, 2]
    assert check_positions([], 3).tolist() == []
    for wrong in ([True, False], [0.5], [[0]], 3, "ab", [3], [-4]):
        with pytest.raises(ValueError, match="`positions` must be"):
            check_positions(wrong, 3)
