"""Who is champion: only a paired test moves it."""

import pytest

from icsd.stages.recording.champion import decide

ALONE = {0: 0.50, 1: 0.52, 2: 0.51, 3: 0.49}
BETTER = {seed: score + 0.05 + 0.001 * seed for seed, score in ALONE.items()}
NOISY = {0: 0.60, 1: 0.45, 2: 0.62, 3: 0.44}


def test_a_challenger_that_is_clearly_better_takes_over():
    decision = decide("none", ALONE, {"aicsd": BETTER, "kd": NOISY})
    assert decision.method == "aicsd"
    assert "AICSD is 5.15 points above Student alone: paired t-test over 4 seeds" in decision.reason


def test_a_higher_mean_is_not_enough():
    decision = decide("none", ALONE, {"kd": NOISY})
    assert sum(NOISY.values()) > sum(ALONE.values())
    assert decision.method is None
    assert "none is better by a paired test" in decision.reason


def test_a_clearly_worse_challenger_changes_nothing():
    assert decide("aicsd", BETTER, {"none": ALONE}).method is None


def test_what_passes_alone_may_fail_among_many():
    close = {0: 0.53, 1: 0.53, 2: 0.535, 3: 0.53}
    assert decide("none", ALONE, {"kd": close}).method == "kd"
    many = {f"m{index}": NOISY for index in range(9)}
    assert decide("none", ALONE, {"kd": close, **many}).method is None


@pytest.mark.parametrize("other", [{0: 0.9}, {7: 0.9, 8: 0.9, 9: 0.9}, ALONE])
def test_without_two_common_seeds_or_any_difference_nothing_is_decided(other):
    decision = decide("none", ALONE, {"kd": other})
    assert decision.method is None
    assert "no challenger can be tested" in decision.reason
