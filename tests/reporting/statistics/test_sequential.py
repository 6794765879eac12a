"""The sequential rule: simulated error rates are as stated, for any deviation and number of methods."""

import numpy as np
import pytest
from scipy import stats

from icsd.reporting.statistics.estimates import LEVEL
from icsd.reporting.statistics.sequential import (
    FIRST,
    LAST,
    half_width,
    nominal_level,
    overall_level,
    p_at_looks,
    seeds_to_decide,
    standing,
)

MARGIN = 0.5
TRIALS = 20_000


def simulated_gains(*, methods, deviation, gain, seed, shared=0.5, trials=TRIALS):
    """Gains [trials, methods, seeds]; ``shared`` of their variance is the student alone's, so all have it."""
    random = np.random.default_rng(seed)
    own = random.standard_normal((trials, methods, LAST)) * np.sqrt(1 - shared)
    alone = random.standard_normal((trials, 1, LAST)) * np.sqrt(shared)
    return gain + deviation * (own + alone)


def stops(p, methods):
    """Where the rule stops, [trials, methods, looks], from one-sided p-values."""
    return p < nominal_level(LEVEL / methods)


@pytest.mark.parametrize("deviation", [0.2, 1.0, 4.0])
@pytest.mark.parametrize("methods", [1, 2, 4, 8])
def test_chance_is_called_worth_it_in_at_most_one_of_twenty_nulls(methods, deviation):
    """The true gain is the margin, the worst that is not worth it; someone looks after every seed."""
    gains = simulated_gains(methods=methods, deviation=deviation, gain=MARGIN, seed=[methods, 7])
    wrong = stops(p_at_looks(gains, MARGIN), methods).any(axis=(1, 2)).mean()
    assert 0.02 < wrong <= LEVEL


@pytest.mark.parametrize("methods", [1, 4])
def test_a_gain_that_is_there_is_called_not_worth_it_as_seldom(methods):
    gains = simulated_gains(methods=methods, deviation=1.0, gain=MARGIN, seed=[methods, 8])
    assert stops(1 - p_at_looks(gains, MARGIN), methods).any(axis=(1, 2)).mean() <= LEVEL


def test_no_gain_at_all_is_hardly_ever_called_worth_it():
    gains = simulated_gains(methods=4, deviation=0.5, gain=0.0, seed=9)
    assert stops(p_at_looks(gains, MARGIN), 4).any(axis=(1, 2)).mean() < 0.005


def test_methods_of_different_deviations_with_nothing_in_common_share_the_error_rate():
    deviations = np.array([0.1, 1.0, 5.0])[:, None]
    gains = simulated_gains(methods=3, deviation=deviations, gain=MARGIN, seed=10, shared=0.0)
    assert stops(p_at_looks(gains, MARGIN), 3).any(axis=(1, 2)).mean() <= LEVEL


def test_a_repeated_t_test_without_the_rule_errs_several_times_as_often():
    gains = simulated_gains(methods=4, deviation=1.0, gain=MARGIN, seed=11)
    assert (p_at_looks(gains, MARGIN) < LEVEL).any(axis=(1, 2)).mean() > 6 * LEVEL


@pytest.mark.parametrize(("methods", "median", "latest"), [(1, 4, 6), (4, 5, 7)])
def test_a_gain_of_three_deviations_is_found_quickly(methods, median, latest):
    gains = simulated_gains(methods=methods, deviation=1.0, gain=MARGIN + 3.0, seed=12)
    found = stops(p_at_looks(gains, MARGIN), methods)[:, 0]
    assert found.any(axis=1).mean() > 0.999
    needed = np.argmax(found, axis=1) + FIRST
    assert np.median(needed) <= median
    assert np.quantile(needed, 0.95) <= latest


def test_the_p_of_a_look_is_that_of_a_t_test():
    gains = np.random.default_rng(0).normal(1.0, 2.0, (3, 6))
    for look, seeds in enumerate(range(FIRST, 7)):
        expected = stats.ttest_1samp(gains[:, :seeds], MARGIN, axis=1, alternative="greater").pvalue
        np.testing.assert_allclose(p_at_looks(gains, MARGIN)[:, look], expected, rtol=1e-9)


def test_where_nothing_varies_nothing_is_decided():
    assert p_at_looks(np.full(5, 3.0), MARGIN).tolist() == [0.5] * 3
    assert standing([3.0] * 5, margin=MARGIN, num_methods=1).answer == "open"


@pytest.mark.parametrize("level", [0.9, 0.3, 0.05, 0.05 / 3, 0.0006, 1e-6])
def test_the_two_levels_are_each_others_inverse(level):
    assert overall_level(nominal_level(level)) == pytest.approx(level)
    assert level / (LAST - FIRST + 1) <= nominal_level(level) <= level


def test_a_p_below_the_table_counts_for_every_look():
    assert overall_level(0.0) == overall_level(1e-30) < 1e-10


@pytest.mark.parametrize("seed", range(40))
def test_the_interval_leaves_the_margin_out_exactly_where_there_is_an_answer(seed):
    random = np.random.default_rng(seed)
    gains = list(random.normal(random.uniform(-3, 4), 1.0, random.integers(FIRST, LAST)))
    each = standing(gains, margin=MARGIN, num_methods=3)
    assert (each.answer == "worth") == (each.low > MARGIN) == (each.surely_above > 0.95)
    assert (each.answer == "not worth") == (each.high < MARGIN) == (each.surely_below > 0.95)


def test_fewer_seeds_than_the_first_look_say_nothing():
    for gains in ([5.0], [5.0, 5.1]):
        each = standing(gains, margin=MARGIN, num_methods=1)
        assert (each.answer, each.surely_above, each.n) == ("open", 0.0, len(gains))


def test_the_seeds_that_decide_are_the_fewest_whose_interval_is_short_enough():
    assert seeds_to_decide(0.01, 1.0, num_methods=2) is None
    seeds = seeds_to_decide(1.5, 1.0, num_methods=2)
    assert half_width(1.0, seeds, num_methods=2) < 1.5 <= half_width(1.0, seeds - 1, num_methods=2)
