import numpy as np
import pytest
from keras import ops

import keras_deepfake as kd


@pytest.mark.parametrize("num_moments", [1, 2, 3, 4])
def test_matches_numpy(num_moments):
    maps = np.random.default_rng(0).gamma(2.0, size=(3, 6, 5, 4)).astype("float32")
    values = maps.astype("float64")
    mean, deviation = values.mean(axis=(1, 2)), values.std(axis=(1, 2))
    standard = (values - mean[:, None, None]) / deviation[:, None, None]
    moments = [mean, deviation, (standard**3).mean(axis=(1, 2)), (standard**4).mean(axis=(1, 2))]
    outputs = kd.layers.MomentPooling(num_moments)(maps)
    np.testing.assert_allclose(
        ops.convert_to_numpy(outputs), np.hstack(moments[:num_moments]), rtol=1e-5, atol=1e-5
    )


def test_moments_of_a_normal_distribution():
    maps = np.random.default_rng(0).normal(5.0, 2.0, (1, 300, 300, 1)).astype("float32")
    moments = ops.convert_to_numpy(kd.layers.MomentPooling()(maps))[0]
    np.testing.assert_allclose(moments, [5, 2, 0, 3], atol=0.05)


def test_large_images():
    """Where adding pixel after pixel in 32 bits loses the fourth digit of a mean."""
    steps = np.repeat([0.2, 0.9, 0.4, 0.7], 100)
    maps = (steps[:, None, None] * steps[:, None] * [1.0, 0.9, 0.8])[None].astype("float32")
    values = maps.astype("float64")
    expected = [values.mean(axis=(1, 2)), values.std(axis=(1, 2))]
    moments = ops.convert_to_numpy(kd.layers.MomentPooling(2)(maps))
    np.testing.assert_allclose(moments, np.hstack(expected), rtol=1e-5)
    mean = ops.convert_to_numpy(kd.layers.GeMPooling(1.0)(maps))
    np.testing.assert_allclose(mean, expected[0], rtol=1e-5)


def test_constant_channel():
    moments = kd.layers.MomentPooling()(np.full((1, 4, 4, 1), 0.5, "float32"))
    np.testing.assert_allclose(ops.convert_to_numpy(moments), [[0.5, 0, 0, 0]], atol=1e-5)


def test_tokens_are_pooled_like_a_row_of_pixels():
    maps = np.random.default_rng(0).normal(size=(2, 1, 9, 3)).astype("float32")
    expected = kd.layers.MomentPooling()(maps)
    for data_format in ("channels_last", "channels_first"):
        pooling = kd.layers.MomentPooling(data_format=data_format)
        outputs = pooling(maps[:, 0])
        np.testing.assert_array_equal(ops.convert_to_numpy(outputs), ops.convert_to_numpy(expected))
        assert pooling.compute_output_shape((None, None, 3)) == (None, 12)


def test_a_class_token_comes_first_and_is_not_pooled():
    tokens = np.random.default_rng(0).normal(size=(2, 10, 3)).astype("float32")
    outputs = kd.layers.MomentPooling(2, class_token=True)(tokens)
    rest = tokens[:, 1:]
    expected = np.concatenate([tokens[:, 0], rest.mean(axis=1), rest.std(axis=1)], axis=1)
    np.testing.assert_allclose(ops.convert_to_numpy(outputs), expected, atol=1e-6)
    outputs = kd.layers.MomentPooling(1, class_token=True, num_register_tokens=4)(tokens)
    expected = np.concatenate([tokens[:, 0], tokens[:, 5:].mean(axis=1)], axis=1)
    np.testing.assert_allclose(ops.convert_to_numpy(outputs), expected, atol=1e-6)
    with pytest.raises(ValueError, match="ndim"):
        kd.layers.MomentPooling(2, class_token=True)(np.zeros((2, 4, 4, 3), "float32"))


@pytest.mark.parametrize("level", [200.3, -1.7, 1e-3, 0.0])
def test_a_constant_channel_has_no_skewness_nor_kurtosis(level):
    """Though its mean is rounded, in another direction on every backend."""
    moments = kd.layers.MomentPooling()(np.full((1, 96, 80, 1), level, "float32"))
    mean, deviation, skewness, kurtosis = ops.convert_to_numpy(moments)[0]
    assert mean == pytest.approx(level, rel=1e-5)
    assert (deviation, skewness, kurtosis) == (pytest.approx(0, abs=1e-5), 0, 0)


def test_tokens_must_be_left_for_patches():
    with pytest.raises(ValueError, match="needs tokens beside the 5 that are no patches"):
        kd.layers.MomentPooling(2, class_token=True, num_register_tokens=4)(np.ones((2, 5, 3)))
