"""Means over seeds, and the correction for multiple tests."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.05
"""Significance level: a difference is established everywhere if its corrected p is below it."""


@dataclass(frozen=True)
class Estimate:
    """Mean and sample standard deviation (ddof = 1) of ``n`` values; no std for one value."""

    mean: float
    std: float | None
    n: int


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean ± std of the values; None without values."""
    if not values:
        return None
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Estimate(float(np.mean(values)), std, len(values))


def mean(values: Sequence[float]) -> float | None:
    """The mean of the values; None without values."""
    return float(np.mean(values)) if values else None


def holm(p_values: Sequence[float | None], weights: Sequence[float] | None = None) -> list[float | None]:
    """Holm's step-down correction for all p-values that are given; None stays None.

    With weights, a test of twice the weight has twice the share of the error rate (Holm 1979, section 4).
    The error rate holds for all tests together, whatever the weights, as long as these do not depend on the
    data.

    Source: Holm, 1979, Scandinavian Journal of Statistics 6.
    """
    weights = [1.0] * len(p_values) if weights is None else weights
    order = sorted((p / weights[index], index) for index, p in enumerate(p_values) if p is not None)
    left = sum(weights[index] for _, index in order)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for relative, index in order:
        largest = max(largest, min(1.0, relative * left))
        corrected[index] = largest
        left -= weights[index]
    return corrected
