"""When a loss term's share of the gradients is worth a warning, in training and in the report alike."""

NEGLIGIBLE_SHARE = 0.01
"""A distillation term with less than this does nothing, and its loss curve does not show it."""
DOMINANT_SHARE = 0.9
"""A term with more than this hardly lets the others count."""


def in_percent(share: float) -> str:
    """A share of 1 as people read it: whole percents, two digits below 1 %, and never an exponent.

    Below 1 % it matters how small a share is.
    """
    percent = 100 * share
    if percent == 0 or percent >= 0.995:
        return f"{percent:.0f} %"
    return f"{percent:.2g} %" if percent >= 0.01 else "< 0.01 %"
