"""How stable the order of methods is: over seeds, over resamples, and by the tests between methods."""

from collections.abc import Sequence
from itertools import combinations
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from icsd.reporting.statistics.resampling import Values


def agreement_of_seeds(scores: Values) -> float | None:
    """Kendall's τ between the orders of two seeds, averaged over all pairs of seeds.

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

    In 95 of 100 reports, all pairs that are told apart are in the right order; the others may be in any
    order. This needs no further assumption, and says little where few pairs are told apart.
    """
    return 2 * num_established / num_pairs - 1


def first_shares(scores: Values, resampled: Values, *, num_blocks: int, seed: int) -> NDArray[np.float64]:
    """The share of resamples in which each method has the highest mean.

    A resample stands for other images, the same for all methods, and other seeds. Resampling a few seeds
    would understate their variance and ignore the t-distribution, so training noise is drawn from a
    t-distribution instead, with the residual variance after methods and seeds, pooled over methods, and its
    degrees of freedom. For two methods without variance of images the share is P(Δ > 0); for more methods,
    no share exceeds P(Δ > 0) against any other method.

    Args:
        scores: [methods, seeds], with at least two seeds.
        resampled: [methods, resamples], means over seeds on resampled images.
        num_blocks: Number of images, or of clips, that a resample draws.
        seed: Seed of the draws.

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
