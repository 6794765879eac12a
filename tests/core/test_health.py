"""Shares formatted as percentages."""

import pytest

from icsd.core.health import DOMINANT_SHARE, NEGLIGIBLE_SHARE, in_percent


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.9999, "100 %"),
        (0.996, "100 %"),
        (0.1, "10 %"),
        (0.0951, "10 %"),
        (0.0149, "1 %"),
        (0.009951, "1 %"),
        (0.0099, "0.99 %"),
        (0.00123, "0.12 %"),
        (0.0001, "0.01 %"),
        (0.00009, "< 0.01 %"),
        (1e-12, "< 0.01 %"),
    ],
)
def test_a_share_is_written_in_percent_without_an_exponent(share: float, text: str):
    assert in_percent(share) == text


def test_a_term_is_named_below_one_percent_and_above_ninety():
    assert (in_percent(NEGLIGIBLE_SHARE), in_percent(DOMINANT_SHARE)) == ("1 %", "90 %")
