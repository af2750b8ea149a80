import numpy as np
import pytest
from keras import ops
from sklearn.covariance import LedoitWolf

import keras_deepfake as kd


def correlated(count, seed=0):
    random = np.random.default_rng(seed)
    mixing = np.eye(6) + 0.3 * np.random.default_rng(9).normal(size=(6, 6))
    scale = [1, 10, 0.1, 1, 2, 5]
    return (random.normal(size=(count, 6)) @ mixing * scale + 3).astype("float32")


def distances(layer, vectors):
    return ops.convert_to_numpy(layer(vectors))[:, 0]


@pytest.mark.parametrize("count", [4, 30, 500])
def test_matches_scikit_learn(count):
    vectors, others = correlated(count).astype("float64"), correlated(20, seed=1)
    mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
    reference = LedoitWolf(assume_centered=True).fit((vectors - mean) / deviation)
    layer = kd.layers.MahalanobisDistance()
    layer.adapt(vectors)
    expected = reference.mahalanobis((others - mean) / deviation)
    np.testing.assert_allclose(distances(layer, others), expected, rtol=1e-3)


def test_many_vectors_give_the_textbook_distance():
    vectors, others = correlated(20_000), correlated(20, seed=1)
    centred = others - vectors.mean(axis=0)
    inverse = np.linalg.inv(np.cov(vectors.astype("float64").T))
    expected = np.einsum("ni,ij,nj->n", centred, inverse, centred)
    layer = kd.layers.MahalanobisDistance()
    layer.adapt(vectors)
    np.testing.assert_allclose(distances(layer, others), expected, rtol=0.05)


def test_batches_are_one_set():
    whole, parts = kd.layers.MahalanobisDistance(), kd.layers.MahalanobisDistance()
    vectors = correlated(50)
    whole.adapt(vectors)
    parts.adapt(vectors[start : start + 20] for start in range(0, 50, 20))
    np.testing.assert_array_equal(distances(whole, vectors), distances(parts, vectors))


def test_squared_length_before_adapt():
    vectors = correlated(3)
    expected = np.sum(vectors.astype("float64") ** 2, axis=1)
    np.testing.assert_allclose(
        distances(kd.layers.MahalanobisDistance(), vectors), expected, rtol=1e-5
    )


def test_constant_and_tied_features():
    vectors = correlated(50)
    vectors[:, 0] = 0.1
    vectors[:, 1] = 2 * vectors[:, 2]
    layer = kd.layers.MahalanobisDistance()
    layer.adapt(vectors)
    before = distances(layer, vectors)
    assert np.isfinite(before).all()
    vectors[:, 0] = 100
    np.testing.assert_array_equal(distances(layer, vectors), before)


def test_errors():
    layer = kd.layers.MahalanobisDistance()
    with pytest.raises(ValueError, match="two or more"):
        layer.adapt(correlated(1))
    with pytest.raises(ValueError, match="two or more"):
        layer.adapt([])
    vectors = correlated(5)
    vectors[3, 1] = np.nan
    with pytest.raises(ValueError, match="the first at place 3"):
        layer.adapt(vectors)
