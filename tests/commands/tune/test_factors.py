"""The factors that a search tries."""

import math
from itertools import pairwise

import pytest

from icsd.commands.tune.factors import best_factor, factors, scaled


@pytest.mark.parametrize("trials", [1, 2, 7, 12, 31])
@pytest.mark.parametrize("largest", [3.0, 10.0, 1000.0])
def test_factors_begin_with_the_weights_as_they_are_and_stay_in_their_range(trials, largest):
    tried = factors(trials, largest)
    assert tried[0] == 1
    assert len(set(tried)) == trials
    assert all(1 / largest < factor < largest for factor in tried)
    assert factors(trials + 5, largest)[:trials] == tried


@pytest.mark.parametrize("trials", [3, 7, 15])
def test_full_sets_of_factors_are_evenly_spaced(trials):
    tried = sorted(math.log(factor) for factor in factors(trials, 10.0))
    steps = [after - before for before, after in pairwise(tried)]
    assert steps == pytest.approx([2 * math.log(10) / (trials + 1)] * (trials - 1), rel=0.02)


def test_a_factor_applies_to_every_weight_and_1_changes_no_digit():
    given = {"icsd": 0.1 + 0.2, "kd": 1.0}
    assert scaled(given, 1.0) == given
    assert scaled(given, 0.316) == {"icsd": 0.0948, "kd": 0.316}


@pytest.mark.parametrize(
    ("miou", "best"),
    [
        ({1.0: 0.4, 0.316: 0.6, 3.16: 0.5}, 0.316),
        ({1.0: 0.6, 0.316: 0.6, 3.16: 0.5}, 1.0),
        ({5.62: 0.6, 0.316: 0.6}, 0.316),
        ({5.62: 0.6, 0.316: 0.0}, 5.62),
    ],
)
def test_the_highest_score_wins_and_among_equals_the_smallest_change(miou, best):
    assert best_factor(miou) == best
