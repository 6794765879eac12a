"""How stable the order of methods is: over seeds, over resamples, and as far as tests tell methods apart."""

from collections.abc import Sequence
from itertools import combinations
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from icsd.reporting.statistics.resampling import Values


def agreement_of_seeds(scores: Values) -> float | None:
    """Kendall's τ between the orders that two seeds give, the mean over all pairs of seeds.

    Args:
        scores: [methods, seeds].

    Returns:
        −1 to 1; None for one seed or one method, or where a seed's methods are all equal.
    """
    taus = [float(kendalltau(scores[:, one], scores[:, other]).statistic) for one, other in _pairs(scores)]
    return float(np.mean(taus)) if taus and np.isfinite(taus).all() else None


def _pairs(scores: Values) -> Sequence[tuple[int, int]]:
    return list(combinations(range(scores.shape[1]), 2)) if len(scores) > 1 else []


def least_agreement(num_established: int, num_pairs: int) -> float:
    """The lower end of the 95 % interval of Kendall's τ between this order and the true one; the upper is 1.

    The pairs that are told apart are in the right order, all of them together in 95 of 100 reports; the
    others may be in any. So this needs no further assumption, and says little where few are told apart.
    """
    return 2 * num_established / num_pairs - 1


def first_shares(scores: Values, resampled: Values, *, num_blocks: int, seed: int) -> NDArray[np.float64]:
    """In which share of resamples each method is the highest.

    A resample has other images, the same for all methods, and other trainings. Few seeds resampled vary too
    little and know no t-distribution, so what trainings add is drawn from it: with the variance that methods
    and seeds do not explain, pooled over methods, and its degrees of freedom. For two methods without
    variance of images this is P(Δ > 0), and with more no share is above P(Δ > 0) against any other method.

    Args:
        scores: [methods, seeds], of two seeds or more.
        resampled: [methods, resamples], means over seeds on resampled images.
        num_blocks: What a resample draws: images, or clips of them.
        seed: Of the draws.

    Returns:
        [methods], which sum to 1.
    """
    num_methods, num_seeds = scores.shape
    generator = np.random.default_rng(seed)
    means = scores.mean(axis=1, keepdims=True)
    degrees = (num_methods - 1) * (num_seeds - 1)
    rest = scores - means - scores.mean(axis=0, keepdims=True) + scores.mean()
    variance = float(np.square(rest).sum()) / max(degrees, 1)
    num_draws = resampled.shape[1]
    spread = np.sqrt(max(degrees, 1) / generator.chisquare(max(degrees, 1), num_draws))
    noise = generator.standard_normal((num_methods, num_draws)) * spread * sqrt(variance / num_seeds)
    of_images = (resampled - resampled.mean(axis=1, keepdims=True)) * sqrt(num_blocks / (num_blocks - 1))
    highest = np.argmax(means + noise + of_images, axis=0)
    shares: NDArray[np.float64] = np.bincount(highest, minlength=num_methods) / num_draws
    return shares
