"""The order of methods, against hand-computed values and simulated error rates."""

from itertools import combinations

import numpy as np
import pytest
from tests.reporting.simulated import chance_results

from icsd.reporting.differences import all_differences, resample
from icsd.reporting.statistics.ranking import agreement_of_seeds, first_shares, least_agreement


def test_the_agreement_of_seeds_is_a_mean_over_their_pairs():
    """By hand: 1 and 2 order alike; 3 turns one of three pairs round."""
    scores = np.array([[1.0, 5.0, 2.0], [2.0, 6.0, 1.0], [3.0, 7.0, 3.0]])
    assert agreement_of_seeds(scores) == pytest.approx((1 + 1 / 3 + 1 / 3) / 3)
    assert agreement_of_seeds(np.array([[1.0, 1.0], [2.0, 0.0]])) == -1


@pytest.mark.parametrize("scores", [np.ones((3, 1)), np.ones((1, 3)), np.ones((3, 2))])
def test_without_two_orders_there_is_no_agreement(scores):
    assert agreement_of_seeds(scores) is None


def test_the_true_order_agrees_at_least_in_what_is_told_apart():
    assert least_agreement(6, 6) == 1
    assert least_agreement(3, 6) == 0
    assert least_agreement(0, 6) == -1


@pytest.mark.parametrize("num_seeds", [2, 4])
def test_of_two_methods_the_share_is_the_probability_of_a_gain(num_seeds):
    scores = np.random.default_rng(num_seeds).normal([[0.5], [0.0]], 1, (2, num_seeds))
    results = first_shares(scores, np.zeros((2, 200_000)), num_blocks=30, seed=0)
    from scipy import stats

    difference = scores[0] - scores[1]
    expected = stats.t.sf(-difference.mean() / stats.sem(difference), num_seeds - 1)
    assert results.tolist() == pytest.approx([expected, 1 - expected], abs=0.005)


def test_the_choice_of_images_can_change_who_is_first():
    draws = np.random.default_rng(0).normal(0, 1, (2, 20_000))
    scores = np.array([[1.0, 1.0], [0.0, 0.0]])  # seeds add nothing
    shares = first_shares(scores, draws, num_blocks=1000, seed=0)
    assert shares[1] == pytest.approx(0.24, abs=0.01)  # P(N(0, √2) > 1)


def false_rates(num_methods, num_seeds, images, trials):
    """The rates at which a method that is not better has a share of 95 %, and a true order is ruled out."""
    random = np.random.default_rng([num_methods, num_seeds])
    shares_too_high = ruled_out = 0
    for trial in range(trials):
        results = chance_results(
            random,
            num_methods=num_methods,
            num_seeds=num_seeds,
            of_seeds=0.05,
            of_images=0.05 * images,
            num_images=30,
        )
        draws = resample(results, resamples=200, seed=trial)
        runs = [results.of("resnet18", name) for name in results.methods]
        scores = np.array([[100 * run.metrics.miou for run in own] for own in runs])
        means = np.stack([np.mean([draws.of(run) for run in own], axis=0) for own in runs])
        shares_too_high += first_shares(scores, means, num_blocks=30, seed=trial)[1] > 0.95
        found = all_differences(results, "resnet18", draws)
        pairs = [found[pair] for pair in combinations(results.methods, 2)]
        # All are equal: half of the pairs are in the wrong order on average, so anything told apart is wrong.
        ruled_out += least_agreement(sum(pair.established for pair in pairs), len(pairs)) > -1
    return shares_too_high / trials, ruled_out / trials


def test_chance_is_first_or_in_order_no_more_often_than_nominal():
    first, order = false_rates(3, 3, 0.5, trials=200)
    assert first <= 0.05 + 0.045  # three standard errors
    assert order <= 0.05 + 0.045


@pytest.mark.slow
@pytest.mark.parametrize("images", [0.0, 1.0])
@pytest.mark.parametrize("num_seeds", [2, 5, 20])
@pytest.mark.parametrize("num_methods", [2, 6])
def test_chance_is_first_or_in_order_no_more_often_than_nominal_at_length(num_methods, num_seeds, images):
    first, order = false_rates(num_methods, num_seeds, images, trials=600)
    assert first <= 0.05 + 0.027  # three standard errors
    assert order <= 0.05 + 0.027
