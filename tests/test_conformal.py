import numpy as np
import pytest

from keras_deepfake._conformal import check_bounds, conformal_sets, fit_bounds


def defined_sets(is_fake, known, scores, miscoverage):
    """By the definition: a class is in the set if its p-value is above the miscoverage."""
    sets = []
    for fakes, sign in ((True, 1), (False, -1)):
        same = sign * known[is_fake == fakes]
        ranks = (same[:, None] <= sign * scores).sum(axis=0) + 1
        sets.append(ranks / (len(same) + 1) > miscoverage + 1e-12)
    return sets


@pytest.mark.parametrize("decimals", [1, 2, 5])
@pytest.mark.parametrize("miscoverage", [0.05, 0.07, 0.1, 0.29, 0.5, 0.97])
def test_bounds_are_those_of_the_definition_with_ties(miscoverage, decimals):
    rng = np.random.default_rng(decimals)
    for num_fakes, num_reals in ((99, 41), (60, 99), (19, 25)):
        is_fake = rng.permutation(np.arange(num_fakes + num_reals) < num_fakes)
        known = np.round(rng.beta(1 + is_fake, 2 - is_fake), decimals)
        scores = np.unique([0.0, 1.0, *known, *np.round(rng.random(200), decimals)])
        found = conformal_sets(scores, fit_bounds(is_fake, known, miscoverage))
        expected = defined_sets(is_fake, known, scores, miscoverage)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("num_fakes", "num_reals"), [(49, 99), (30, 12)])
def test_sets_cover_new_images_as_promised(num_fakes, num_reals):
    """Mean over many calibrations: 1 - k / (n + 1), which is at least 0.9."""
    rng = np.random.default_rng(0)
    is_fake = np.arange(num_fakes + num_reals) < num_fakes
    draws, covered = 3000, []
    for _ in range(draws):
        known = rng.beta(2 + is_fake, 3 - is_fake)
        lowest_fake, highest_real = fit_bounds(is_fake, known, 0.1)
        covered.append((rng.beta(3, 2) >= lowest_fake, rng.beta(2, 3) <= highest_real))
    for count, share in zip((num_fakes, num_reals), np.mean(covered, axis=0), strict=True):
        exact = 1 - np.floor(0.1 * (count + 1)) / (count + 1)
        assert exact >= 0.9
        assert share == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / draws))


@pytest.mark.parametrize("views", [2, 5])
def test_views_of_one_image_promise_no_more_than_it_does(views):
    """The promise holds where views of an image are alike, and where they differ as images do."""
    rng = np.random.default_rng(0)
    count, draws = 29, 4000
    is_fake = np.repeat([True, False], count * views)
    for alike in (0.0, 1.0):
        missed = []
        for _ in range(draws):
            of_images = np.repeat(rng.normal(size=2 * count + 2), views)
            views_of_images = of_images * alike + rng.normal(size=of_images.size) * (1 - alike)
            scores = 1 / (1 + np.exp(-views_of_images))
            known, new = np.split(scores, [2 * count * views])
            lowest_fake, highest_real = fit_bounds(is_fake, known, 0.1, views)
            missed += [new[0] < lowest_fake, new[-1] > highest_real]
        assert np.mean(missed) <= 0.1 + 4 * np.sqrt(0.09 / (2 * draws))
        assert np.mean(missed) > 0.03
    with pytest.raises(ValueError, match=r"needs at least 49 fake images .* there are 29"):
        fit_bounds(is_fake, np.linspace(0, 1, len(is_fake)), 0.02, views)


def test_too_few_images_for_the_rate():
    is_fake = np.arange(27) < 18
    with pytest.raises(ValueError, match=r"needs at least 19 fake images .* there are 18"):
        fit_bounds(is_fake, np.linspace(0, 1, 27), 0.05)
    with pytest.raises(ValueError, match=r"needs at least 9 real images .* there are 8"):
        fit_bounds(is_fake[:26], np.linspace(0, 1, 26), 0.1)
    fit_bounds(is_fake, np.linspace(0, 1, 27), 0.1)


def test_scores_at_the_ends_keep_bounds_that_are_probabilities():
    is_fake = np.arange(40) < 20
    assert fit_bounds(is_fake, 1.0 - is_fake, 0.1) == (0.0, 1.0)
    lowest_fake, highest_real = fit_bounds(is_fake, 1.0 * is_fake, 1 - 1e-12)
    assert 0 < highest_real < lowest_fake < 1


@pytest.mark.parametrize(
    "wrong", [0.5, (0.5,), (0.1, 0.2, 0.3), (-0.1, 0.5), (0.5, 1.1), (float("nan"), 0.5), "ab"]
)
def test_wrong_bounds(wrong):
    with pytest.raises(ValueError, match="`conformal_bounds"):
        check_bounds(wrong)
