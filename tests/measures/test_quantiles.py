"""Quantiles of mixtures are where their distribution function has the level, and cover as often as it says."""

import numpy as np
import pytest
from scipy.stats import norm
from uncertainty_toolbox.metrics_calibration import get_proportion_lists_vectorized

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.measures import quantiles as q
from ensemble_vs_dropout.measures import regression as r

LEVELS = np.array([0.001, 0.05, 0.3, 0.5, 0.9, 0.999])


def test_the_calibration_of_quantiles_is_that_of_another_package():
    rng = np.random.default_rng(4)
    mean, scale, y = rng.normal(size=400), np.exp(rng.normal(size=400)), rng.normal(0, 2, 400)
    expected, observed = get_proportion_lists_vectorized(-mean, scale, -y, 21, prop_type="quantile")  # of what is above
    found = q.quantile_calibration(mean[None], scale[None], y)
    np.testing.assert_allclose(found.level, expected[1:-1])
    np.testing.assert_allclose(found.observed, observed[1:-1])
    assert q.calibration_error(mean[None], scale[None], y) == pytest.approx(
        np.abs(np.subtract(expected, observed))[1:-1].mean()
    )


@pytest.mark.parametrize("members", [1, 2, 7])
def test_quantiles_are_where_the_cdf_has_their_level(members):
    rng = np.random.default_rng(members)
    means, scales = rng.normal(0, 3, (members, 40)), np.exp(rng.normal(0, 1, (members, 40)))
    weights = rng.dirichlet(np.ones(members))
    for level, quantile in zip(LEVELS, q.quantiles(means, scales, LEVELS, weights), strict=True):
        np.testing.assert_allclose(q.cdf(means, scales, quantile, weights), level, rtol=1e-6)


def test_quantiles_far_out_and_between_components_far_apart_are_found():
    means, scales = np.array([[0.0], [1e6]]), np.array([[1e-3], [1.0]])
    levels = [1e-9, 0.25, 0.49, 0.51, 1 - 1e-9]
    found = q.quantiles(means, scales, levels)[:, 0]
    expected = [norm.ppf(2e-9) * 1e-3, 0.0, norm.ppf(0.98) * 1e-3, 1e6 + norm.ppf(0.02), 1e6 + norm.isf(2e-9)]
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert (np.diff(found) > 0).all()


def test_quantiles_are_found_where_newtons_steps_go_to_and_fro():
    means, scales = np.array([[-0.83], [-0.68], [1.48], [-0.17], [1.63]]), [[0.93], [0.33], [0.98], [0.11], [0.53]]
    levels = [0.5, 0.51, 0.52, 0.55, 0.58]
    found = q.quantiles(means, scales, levels)
    np.testing.assert_allclose([q.cdf(means, scales, row).item() for row in found], levels, rtol=1e-9)
    assert (np.diff(found[:, 0]) > 0).all()


def test_quantiles_of_thousands_of_mixtures_are_where_the_cdf_has_their_level():
    rng = np.random.default_rng(0)
    for members, narrow in ((3, 0.03), (10, 0.03), (10, 1e-4)):
        means, scales = rng.normal(size=(members, 5000)), rng.uniform(narrow, 1, (members, 5000))
        for level in (0.025, 0.5, 0.9):
            (found,) = q.quantiles(means, scales, [level])
            np.testing.assert_allclose(q.cdf(means, scales, found), level, rtol=1e-8)


def test_quantiles_of_a_narrow_member_and_of_one_far_away_are_found():
    means, scales = np.array([[-10.0], [0.0], [10.0], [10.0], [10.0]]) * 1e4, [[1e4], [1e-6], [1e4], [1e4], [1e4]]
    for given in ((means, scales), ([[0.0], [0.001], [-0.001], [0.0], [1e9]], [[0.01]] * 5)):
        for level in (0.025, 0.1, 0.5):
            (found,) = q.quantiles(*given, [level])
            assert q.cdf(*given, found).item() == pytest.approx(level, abs=1e-6)


def test_a_member_without_weight_does_not_matter_however_far_away():
    assert q.quantiles([[0.0], [1e20]], [[1.0], [1.0]], [0.1], [1.0, 0.0]).item() == pytest.approx(norm.ppf(0.1))


def test_what_is_drawn_as_predicted_is_covered_as_often_as_the_level_says():
    rng = np.random.default_rng(5)
    means, scales = rng.normal(0, 2, (3, 20_000)), np.exp(rng.normal(0, 0.5, (3, 20_000)))
    which = rng.integers(3, size=20_000)
    y = rng.normal(means[which, np.arange(20_000)], scales[which, np.arange(20_000)])
    found = q.coverage(means, scales, y)
    np.testing.assert_allclose(found.covered, found.level, atol=0.015)
    assert q.calibration_error(means, scales, y) < 0.01
    assert found.width.is_monotonic_increasing


def test_members_without_noise_cover_the_mean_and_not_an_observation():
    rng = np.random.default_rng(5)
    mean = rng.normal(0, 2, 2000)
    passes, y = mean + rng.normal(0, 0.1, (20, 2000)), mean + rng.normal(0, 1, 2000)
    alone = q.coverage(passes, 0.01, y)
    assert (alone.covered < 0.3 * alone.level).all()
    noisy = q.coverage(passes, r.fit_noise(passes, y), y)
    np.testing.assert_allclose(noisy.covered, noisy.level, atol=0.03)


def test_twice_the_pinball_loss_over_all_levels_is_the_crps():
    levels = (np.arange(300) + 0.5) / 300
    means, scales, y = np.array([[0.0], [2.0]]), np.array([[1.0], [0.3]]), [1.7]
    of_levels = q.quantiles(means, scales, levels)
    assert 2 * q.pinball(of_levels, levels, y).item() == pytest.approx(r.crps(means, scales, y).item(), rel=3e-3)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: q.interval([[1.0]], 1.0, level=95), "levels must be numbers between 0 and 1, got .95."),
        (lambda: q.quantiles([[1.0]], 1.0, []), "levels must be numbers between 0 and 1"),
        (lambda: q.pinball([[1.0]], [0.1, 0.9], [1.0]), "quantiles must have shape .levels, examples. for 2 levels"),
        (lambda: q.quantile_calibration([[1.0]], 1.0, [1.0], bins=1), "bins must be a whole number of at least 2"),
        (lambda: q.quantile_calibration([[1.0]], 1.0, [1.0], bins=2.5), "bins must be a whole number of at least 2"),
        (lambda: q.pinball([[np.nan]], [0.1], [1.0]), "quantiles must be finite numbers"),
        (lambda: q.interval([[1.0]], 1.0, level="x"), "levels must be finite numbers"),
    ],
)
def test_bad_input_is_told(call, match):
    with pytest.raises(InputError, match=match):
        call()
