"""Intervals of a mean over seeds that also hold for other test images, and the corresponding test."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, sqrt
from typing import Literal

import numpy as np
from scipy import optimize, special

from icsd.reporting.statistics.estimates import LEVEL
from icsd.reporting.statistics.resampling import Values


@dataclass(frozen=True)
class Interval:
    """A 95 % interval and the sources of variation in it."""

    low: float
    high: float
    over: Literal["images and seeds", "images"]
    """``images`` if there is only one seed."""
    p: float | None = None
    """Two-sided p of a mean of zero: the level at which zero lies on the edge of this interval, so it is
    below 5 % exactly where the 95 % interval leaves zero out. None for one seed, or where nothing varies."""
    variances: "tuple[Variance, Variance] | None" = None
    """Variances of the mean: between seeds, and over the choice of images. None for one seed."""


def interval(values: Sequence[float], resampled: Values, *, num_images: int) -> Interval:
    """A 95 % interval of the mean over seeds that is valid even for two seeds.

    This is a bootstrap with two levels, seeds and images. Its variance is taken level by level, because
    resampling n seeds with replacement understates their variance by (n - 1) / n, and percentiles of the
    resamples ignore the t-distribution:

    - the variance between seeds on these images, s² / n (s with ddof = 1), with n - 1 degrees of freedom;
    - the variance over the choice of images: the covariance of two seeds over their common resamples.
      Variation with the images within a single seed is already in s².

    This is the multi-reader multi-case analysis (Obuchowski, Rockette 1995; Hillis 2007). The two half widths
    are added in quadrature, each with its own t quantile (Banerjee 1960, Sankhya 22): for normal components,
    coverage is then never below nominal, at any level. Hillis' choice, one quantile with Satterthwaite's
    degrees of freedom, has a coverage of only 87 % for two seeds, and its p errs far more often after a
    correction for multiple tests (benchmarks/false_positives.py).

    Args:
        values: The measured value of each seed.
        resampled: [seeds, resamples], a value per seed and resample of the images, which all seeds share.
        num_images: Number n of images, or of clips, that each resample draws: their variance has n - 1
            degrees of freedom, and resampling understates it by (n - 1) / n.
    """
    num_seeds = len(values)
    covariance = np.cov(resampled, ddof=0).reshape(num_seeds, num_seeds) * num_images / (num_images - 1)
    mean = float(np.mean(values))
    if num_seeds == 1:
        half = sqrt(squared_half_width([(covariance[0, 0], num_images - 1)], LEVEL))
        return Interval(mean - half, mean + half, "images")
    between_seeds = float(np.var(values, ddof=1)) / num_seeds
    off_diagonal = covariance.sum() - np.trace(covariance)
    between_images = max(0.0, float(off_diagonal) / (num_seeds * (num_seeds - 1)))
    variances = ((between_seeds, num_seeds - 1), (between_images, num_images - 1))
    half = sqrt(squared_half_width(variances, LEVEL))
    return Interval(mean - half, mean + half, "images and seeds", level_at(mean, variances), variances)


Variance = tuple[float, int]
"""Variance of a mean from one source, and its degrees of freedom."""
Variances = Sequence[Variance]


def squared_half_width(variances: Variances, level: float) -> float:
    """Squared half width of the interval that misses the true mean with probability ``level``."""
    return float(sum(special.stdtrit(degrees, level / 2) ** 2 * variance for variance, degrees in variances))


def level_at(distance: float, variances: Variances) -> float | None:
    """The level at which the interval's half width is ``distance``; None where nothing varies."""
    if not any(variance for variance, _ in variances):
        return None

    def beyond(log_level: float) -> float:
        return squared_half_width(variances, exp(log_level)) - distance**2

    if beyond(_SMALLEST) < 0:
        return 0.0
    return exp(optimize.brentq(beyond, _SMALLEST, 0.0, xtol=1e-9))


_SMALLEST = -300.0
"""Logarithm of the smallest p that is distinguished from 0; t² with one degree of freedom is then 1e259."""
