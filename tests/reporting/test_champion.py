"""The choice of the champion: only an established difference changes it."""

import pytest

from icsd.reporting.champion import decide
from icsd.reporting.differences import Difference


def gain(points: float, p: float | None, num_pairs: int = 4) -> Difference:
    return Difference(mean=points, n_pairs=num_pairs, p=p, p_holm=p)


def test_the_challenger_with_the_largest_established_gain_takes_over():
    decision = decide("none", {"aicsd": gain(5.15, 0.002), "kd": gain(9, 0.06), "at": gain(5.1, 1e-9)})
    assert decision.method == "aicsd"
    assert decision.reason == "AICSD is 5.15 points above Student alone: 4 seeds, corrected p 0.002"


def test_a_higher_mean_is_not_enough():
    decision = decide("none", {"kd": gain(2.5, 0.05), "at": gain(1, 0.4)})
    assert decision.method is None
    assert decision.reason == (
        "Student alone stays: of 2 tested none is established as better at 5% "
        "(smallest corrected p 0.050, KD, +2.50 points)"
    )


def test_a_clearly_worse_challenger_changes_nothing():
    assert decide("aicsd", {"none": gain(-5, 1e-6)}).method is None


@pytest.mark.parametrize("other", [gain(40, None, 1), Difference()])
def test_without_a_test_nothing_is_decided(other: Difference):
    decision = decide("none", {"kd": other})
    assert decision.method is None
    assert "no challenger can be tested" in decision.reason
