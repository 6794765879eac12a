"""A sequential test, valid after every seed, of whether a gain exceeds a margin.

A t test that is repeated after every seed errs far more often than a single one. Here every look has the same
nominal level, so small that a sequence of ``LAST`` seeds whose true gain is the margin passes at *any* look
with the requested error rate: Pocock's group-sequential design, on p-values of the t distribution with one
degree of freedom less than seeds. Seeds are few, so no normal limit is used: the distribution of the smallest
p over all looks depends only on the number of looks, and was simulated (benchmarks/sequential.py). Between
``FIRST`` and ``LAST`` seeds one may stop at any time, for any reason.

Sources: Pocock, 1977, Biometrika 64; the interval that is valid at every look is that of Jennison and
Turnbull, 1989, Journal of the Royal Statistical Society B 51.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, log, sqrt
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from icsd.reporting.statistics.estimates import LEVEL, estimate

Values = npt.NDArray[np.float64]
FIRST, LAST = 3, 20
"""Seeds at the first and the last look. With two seeds, t has one degree of freedom and decides nothing."""
Answer = Literal["worth", "not worth", "open"]

_SMALLEST = 1e-12
_SIMULATED = (
    (_SMALLEST, _SMALLEST * (LAST - FIRST + 1)),  # the union bound over all looks
    (1.7e-05, 0.0002),
    (4.76e-05, 0.0005),
    (0.000102, 0.001),
    (0.000283, 0.0025),
    (0.000603, 0.005),
    (0.00132, 0.01),
    (0.00383, 0.025),
    (0.00876, 0.05),
    (0.0207, 0.1),
    (0.0517, 0.2),
    (0.0917, 0.3),
    (0.2, 0.5),
    (1.0, 1.0),
)
"""Nominal p of a look, and the share of sequences without a gain whose p is as small at any look.

From 6 million simulated sequences; each p is rounded down from three standard errors below the estimate.
"""
_NOMINAL, _OVERALL = (tuple(map(log, column)) for column in zip(*_SIMULATED, strict=True))


def overall_level(p: float) -> float:
    """The probability that a sequence whose true gain is the margin has a p as small as this at any look."""
    return exp(float(np.interp(log(max(p, _SMALLEST)), _NOMINAL, _OVERALL)))


def nominal_level(level: float) -> float:
    """The p that a look must be below so that the error rate of all looks together is ``level``."""
    return exp(float(np.interp(log(level), _OVERALL, _NOMINAL)))


def p_at_looks(gains: Values, margin: float) -> Values:
    """One-sided p of a true gain of at most ``margin``, at every look, the first at ``FIRST`` seeds.

    Args:
        gains: [..., seeds], the paired differences in the order of the seeds, points.
        margin: Points.

    Returns:
        [..., seeds - FIRST + 1]; 0.5 where nothing varies. One minus p tests a gain of at least ``margin``.
    """
    seeds = np.arange(FIRST, gains.shape[-1] + 1)
    start = gains[..., :1]  # keeps the sums of squares small
    sums = np.cumsum(gains - start, axis=-1)[..., FIRST - 1 :]
    squares = np.cumsum(np.square(gains - start), axis=-1)[..., FIRST - 1 :]
    variance = np.maximum(squares - np.square(sums) / seeds, 0) / (seeds - 1)
    distance = sums / seeds + start - margin
    errors = np.sqrt(variance / seeds)
    t = np.divide(distance, errors, out=np.zeros_like(distance), where=errors > 0)
    return np.asarray(special.stdtr(seeds - 1.0, -t), dtype=np.float64)


@dataclass(frozen=True)
class Standing:
    """What the seeds so far say about a method's gain.

    Attributes:
        mean: Mean gain, points.
        std: Sample standard deviation over seeds, points; None for one seed.
        n: Number of seeds.
        low: Lower end of the interval, points; −inf if there are too few seeds.
        high: Upper end. The error rate of each end is at most 5 %, over all methods and looks together.
        surely_above: Confidence that the gain exceeds the margin: one minus the p that is corrected for all
            methods and looks.
        surely_below: Confidence that the gain is below the margin.
        answer: ``worth`` if ``surely_above`` is more than 95 %, which means that ``low`` is above the margin.
    """

    mean: float
    std: float | None
    n: int
    low: float
    high: float
    surely_above: float
    surely_below: float
    answer: Answer


def standing(gains: Sequence[float], *, margin: float, num_methods: int) -> Standing:
    """What the seeds so far say about a method's gain.

    Args:
        gains: Gain of every seed, points.
        margin: Points.
        num_methods: Number of methods tested, which share the error rate (Bonferroni, since their gains are
            dependent: all are measured against the same student alone).
    """
    own = estimate(gains)
    assert own is not None  # called after the first seed
    if own.n < FIRST or not own.std:
        return Standing(own.mean, own.std, own.n, -inf, inf, 0.0, 0.0, "open")
    p = float(p_at_looks(np.asarray(gains, dtype=np.float64), margin)[-1])
    above, below = (1 - min(1.0, num_methods * overall_level(side)) for side in (p, 1 - p))
    half = half_width(own.std, own.n, num_methods=num_methods)
    answer: Answer = "worth" if above > 1 - LEVEL else "not worth" if below > 1 - LEVEL else "open"
    return Standing(own.mean, own.std, own.n, own.mean - half, own.mean + half, above, below, answer)


def half_width(std: float, seeds: int, *, num_methods: int) -> float:
    """Half width of the interval of a gain with this standard deviation over seeds, points."""
    quantile = -float(special.stdtrit(seeds - 1, nominal_level(LEVEL / num_methods)))
    return quantile * std / sqrt(seeds)


def seeds_to_decide(distance: float, std: float, *, num_methods: int) -> int | None:
    """The number of seeds that would decide a gain at this distance from the margin, all else equal.

    Returns:
        None if ``LAST`` seeds are not enough.
    """
    enough = (
        n for n in range(FIRST, LAST + 1) if half_width(std, n, num_methods=num_methods) < abs(distance)
    )
    return next(enough, None)
