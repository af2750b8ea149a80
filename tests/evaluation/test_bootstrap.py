import numpy as np
import pytest

from keras_deepfake.evaluation.bootstrap import percentile_interval


@pytest.mark.parametrize(("groups", "quantile"), [(4, 3.182446), (11, 2.228139)])
def test_normal_values_of_few_groups_have_the_interval_of_the_t_distribution(groups, quantile):
    """Quantiles of a table; a bootstrap of n groups shows (n - 1) / n of the variance."""
    normal = np.random.default_rng(0).normal(size=10**6) * np.sqrt((groups - 1) / groups)
    low, high = percentile_interval(normal, groups)
    assert (low, high) == pytest.approx((-quantile, quantile), rel=0.02)


def test_percentiles_of_few_resamples():
    """The k-th of n values is the k / (n + 1) quantile, of which 95 % lie between the ends."""
    values = np.append(np.arange(1.0, 100.0), np.nan)
    assert percentile_interval(values, 10**9) == pytest.approx((2.5, 97.5))


def test_one_group_tells_nothing():
    assert np.isnan(percentile_interval(np.arange(9.0), 1)).all()
    assert np.isnan(percentile_interval(np.full(9, np.nan), 5)).all()
