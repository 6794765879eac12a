"""Means over seeds, paired tests and intervals, from per-run values and per-image confusions.

Two kinds of chance are kept apart. *Training noise* (seeds) is what the mean ± std and the paired t-test
see. *Which images were drawn for the test split* is what resampling the images adds. Every network is
evaluated on the same images, so images and seeds are crossed: a resample draws images once for all seeds and
methods, and seeds are paired on both sides of a difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import special

from icsd.core.seeds import seed_at

Counts = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """Mean and sample standard deviation (ddof = 1) of ``n`` values; no std for one value."""

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class Interval:
    """A 95 % interval and what chance is in it."""

    low: float
    high: float
    over: str
    """``images and seeds``, or ``images`` when there is one seed only."""


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean ± std of the values; None without values."""
    if not values:
        return None
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Estimate(float(np.mean(values)), std, len(values))


def paired_p(differences: Sequence[float]) -> float | None:
    """Two-sided p of a paired t-test: could the mean difference be zero, given its spread over seeds?

    None for fewer than two differences, or when they do not vary at all.
    """
    found = estimate(differences)
    if found is None or found.std is None or found.std == 0:
        return None
    t = found.mean / (found.std / sqrt(found.n))
    return float(2 * special.stdtr(found.n - 1, -abs(t)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction for testing many methods against one reference; None stays None."""
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        corrected[index] = largest
    return corrected


def miou(confusion: Counts) -> float:
    """Mean IoU of one confusion matrix [C, C]; classes absent from the truth are left out."""
    return float(_mean_iou(_margins(confusion[None]).astype(np.float64))[0])


def image_weights(num_images: int, *, resamples: int, seed: int) -> Values:
    """How often each image is drawn in each resample, [resamples, images]; rows sum to ``num_images``."""
    generator = np.random.default_rng(seed_at(seed, "bootstrap", "images"))
    draws = generator.multinomial(num_images, np.full(num_images, 1 / num_images), size=resamples)
    return draws.astype(np.float64)


def resampled_miou(confusion: Counts, weights: Values) -> Values:
    """The mIoU of each resample, [resamples], from the summed confusion matrices of the drawn images.

    Args:
        confusion: [images, C, C], one matrix per image, rows = truth.
        weights: [resamples, images] from :func:`image_weights`.
    """
    # IoU needs three margins per class, not C² counts; the sums are integers below 2**53, so float64 is exact
    # and the result does not depend on the order in which a matrix product adds.
    num_images, num_classes = confusion.shape[:2]
    margins = _margins(confusion).reshape(num_images, 3 * num_classes).astype(np.float64)
    return _mean_iou((weights @ margins).reshape(-1, 3, num_classes))


def interval(values: Sequence[float], draws: Values, *, num_images: int) -> Interval:
    """A 95 % interval of the mean over seeds that holds for two seeds as well.

    A bootstrap of two levels, seeds and images, whose variance is taken level by level, since n seeds
    resampled with replacement vary by (n - 1) / n too little and their percentiles know no t-distribution:

    - the variance between seeds on these images, s² / n (s with ddof = 1), with n - 1 degrees of freedom;
    - the variance of which images were drawn, the covariance of two seeds' resamples, which they have in
      common. What is a seed's own of it is in s² already.

    So does the analysis of readers who all read the same cases (Obuchowski, Rockette 1995; Hillis 2007).
    The half widths of the two are added as squares, each with its own t quantile (Banerjee 1960, Sankhya
    22): for normal components coverage is then never below 95 %. One quantile with Satterthwaite's degrees
    of freedom, Hillis' choice, falls to 87 % for two seeds. The interval is never narrower than the paired
    t-test's: where it leaves out zero, the uncorrected p is below 0.05.

    Args:
        values: The measured value of each seed.
        draws: [seeds, resamples], a value per seed and image resample, which all seeds share.
        num_images: How many images each resample draws.
    """
    num_seeds = len(values)
    covariance = np.cov(draws, ddof=0).reshape(num_seeds, num_seeds) * num_images / (num_images - 1)
    mean = float(np.mean(values))
    if num_seeds == 1:
        return _around(mean, _squared_half_width(covariance[0, 0], num_images - 1), over="images")
    between_seeds = float(np.var(values, ddof=1)) / num_seeds
    off_diagonal = covariance.sum() - np.trace(covariance)
    between_images = max(0.0, float(off_diagonal) / (num_seeds * (num_seeds - 1)))
    squared = _squared_half_width(between_seeds, num_seeds - 1) + _squared_half_width(
        between_images, num_images - 1
    )
    return _around(mean, squared, over="images and seeds")


def bootstrap_interval(confusions: Sequence[Counts], *, resamples: int, seed: int) -> Interval:
    """95 % interval of the mean mIoU of one method; ``confusions`` has [images, C, C] per seed."""
    values, draws = _resampled(confusions, resamples=resamples, seed=seed)
    return interval(list(values), draws, num_images=len(confusions[0]))


def bootstrap_difference(
    confusions: Sequence[Counts], references: Sequence[Counts], *, resamples: int, seed: int
) -> Interval:
    """95 % interval of the mean paired difference in mIoU; both sides share images and seeds."""
    values, draws = _resampled(confusions, resamples=resamples, seed=seed)
    base_values, base_draws = _resampled(references, resamples=resamples, seed=seed)
    return interval(list(values - base_values), draws - base_draws, num_images=len(confusions[0]))


def _resampled(confusions: Sequence[Counts], *, resamples: int, seed: int) -> tuple[Values, Values]:
    """The mIoU of every seed, [seeds], and of its resamples, [seeds, resamples]."""
    weights = image_weights(len(confusions[0]), resamples=resamples, seed=seed)
    values = [miou(confusion.sum(axis=0)) for confusion in confusions]
    return np.array(values), np.stack([resampled_miou(each, weights) for each in confusions])


def _squared_half_width(variance: float, degrees: int) -> float:
    return float(special.stdtrit(degrees, 0.975) ** 2 * variance)


def _around(mean: float, squared: float, *, over: str) -> Interval:
    half = sqrt(squared)
    return Interval(mean - half, mean + half, over)


def _margins(confusion: Counts) -> Counts:
    """[..., 3, C]: hits, truth and prediction counts of each class."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return np.stack([hits, confusion.sum(axis=-1), confusion.sum(axis=-2)], axis=-2)


def _mean_iou(margins: Values) -> Values:
    """[...]: from margins [..., 3, C], over the classes that occur in the truth."""
    hits, truth, predicted = margins[..., 0, :], margins[..., 1, :], margins[..., 2, :]
    occurs = truth > 0
    iou = np.divide(hits, truth + predicted - hits, out=np.zeros_like(hits), where=occurs)
    return np.asarray(iou.sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1), dtype=np.float64)
