"""Shares of the gradient at which a loss term deserves a warning, in training and in the report."""

NEGLIGIBLE_SHARE = 0.01
"""A distillation term below this share has no effect, which its loss curve does not reveal."""
DOMINANT_SHARE = 0.9
"""A term above this share leaves the others almost no effect."""


def in_percent(share: float) -> str:
    """A fraction as a readable percentage: whole percents, or two significant digits below 1 %.

    Small shares get more digits because their size matters. There is never an exponent.
    """
    percent = 100 * share
    if percent == 0 or percent >= 0.995:
        return f"{percent:.0f} %"
    return f"{percent:.2g} %" if percent >= 0.01 else "< 0.01 %"
