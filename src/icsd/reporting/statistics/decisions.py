"""How likely a difference has a given size, and what it would take to establish it.

The intervals of a mean at all levels form its confidence distribution (Schweder and Hjort 2002, Scandinavian
Journal of Statistics 29). All probabilities here are read from it, so none can contradict the interval or its
p: P(Δ > 0) is 1 − p / 2 for a gain. Without variance of the images it is the posterior of the Bayesian t test
under flat priors; the region of practical equivalence (ROPE) comes from there too (Benavoli et al. 2017,
JMLR 18).
"""

from dataclasses import dataclass
from math import sqrt

from icsd.reporting.statistics.intervals import Variance, level_at, squared_half_width

MOST_SEEDS = 1000
"""Upper limit of the seeds that are asked for: nobody trains more."""


@dataclass(frozen=True)
class Evidence:
    """A mean over seeds with its sources of variation.

    Attributes:
        mean: Mean over seeds, percentage points.
        of_seeds: Variance of the mean between seeds, and its degrees of freedom.
        of_images: Variance of the mean over the choice of images, and its degrees of freedom.
        level: Significance level at the first, strictest step of the correction for multiple tests.
    """

    mean: float
    of_seeds: Variance
    of_images: Variance
    level: float

    def above(self, threshold: float) -> float:
        """Probability that the true mean is above ``threshold``."""
        level = level_at(abs(self.mean - threshold), (self.of_seeds, self.of_images))
        beyond = (1.0 if self.mean == threshold else 0.0) if level is None else level
        return 1 - beyond / 2 if self.mean >= threshold else beyond / 2

    def within(self, rope: float) -> float:
        """Probability that the true mean is within ± ``rope``."""
        return max(0.0, self.above(-rope) - self.above(rope))

    @property
    def smallest(self) -> float:
        """The smallest mean that would be established at ``level`` with these variances."""
        return sqrt(squared_half_width((self.of_seeds, self.of_images), self.level))

    @property
    def seeds_needed(self) -> int | None:
        """The number of seeds that would establish this mean at ``level``, all else equal.

        None if ``MOST_SEEDS`` are not enough: the mean is near zero, or the choice of images hides it.
        """
        return seeds_for(self.mean, self.deviation, self.of_images, self.level)

    @property
    def deviation(self) -> float:
        """Standard deviation over seeds."""
        variance, degrees = self.of_seeds
        return sqrt(variance * (degrees + 1))


def seeds_for(mean: float, deviation: float, of_images: Variance, level: float) -> int | None:
    """The number of seeds that would establish ``mean``; None if more than ``MOST_SEEDS``.

    Args:
        mean: The mean difference, points.
        deviation: Standard deviation over seeds, points.
        of_images: Variance of the mean over the choice of images, and its degrees of freedom.
        level: The level to reach.
    """

    def hidden(seeds: int) -> bool:
        return mean**2 <= squared_half_width(((deviation**2 / seeds, seeds - 1), of_images), level)

    low, high = 1, MOST_SEEDS  # the half width falls with every seed
    if hidden(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if hidden(middle) else (low, middle)
    return high


def smallest_of_grid(num_methods: int, num_seeds: int, *, deviation: float, level: float) -> float | None:
    """The smallest difference to the student alone that a grid can establish, before it is trained.

    The variance over the choice of images is not known yet; it can only make this difference larger.

    Args:
        num_methods: Number of methods, including the student alone.
        num_seeds: Number of seeds per method.
        deviation: Standard deviation of a difference over seeds, points.
        level: Error rate of all tests together.

    Returns:
        Points; None if nothing can be tested.
    """
    if num_methods < 2 or num_seeds < 2:
        return None
    strictest = level * strictest_share(num_methods)
    return sqrt(squared_half_width([(deviation**2 / num_seeds, num_seeds - 1)], strictest))


def strictest_share(num_methods: int) -> float:
    """Share of the error rate of one difference to the student alone, at the first step of Holm's procedure.

    Half of the rate is for these differences, or all of it if there are no others.
    """
    return 1 / (num_methods - 1) / (1 if num_methods == 2 else 2)
