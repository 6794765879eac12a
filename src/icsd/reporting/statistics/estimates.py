"""Means and paired tests over seeds, and the correction for many tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import special


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


def paired_p(differences: Sequence[float]) -> float | None:
    """Two-sided p of a paired t-test: could the mean difference be zero, given its spread over seeds?

    None for fewer than two differences, or when they do not vary at all.
    """
    estimated = estimate(differences)
    if estimated is None or estimated.std is None or estimated.std == 0:
        return None
    t = estimated.mean / (estimated.std / sqrt(estimated.n))
    return float(2 * special.stdtr(estimated.n - 1, -abs(t)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction for as many tests as there are p-values; None stays None.

    Source: Holm, 1979, Scandinavian Journal of Statistics 6.
    """
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        corrected[index] = largest
    return corrected
