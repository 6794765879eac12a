"""The score of one network or exported file, and its difference to another on the same images."""

import numpy as np
from numpy.typing import NDArray

from icsd.core.metrics import iou_per_class, mean_iou
from icsd.reporting.statistics.intervals import Interval, interval
from icsd.reporting.statistics.resampling import Counts, Values, resampled_iou, resampled_miou


def score(confusion: Counts, weights: Values, blocks: int) -> tuple[float, Interval | None]:
    """The mIoU in percent, and its 95 % interval over the choice of images; None for one image.

    Args:
        confusion: [N, C, C], one matrix per image.
        weights: [resamples, N]; how often each image is in each resample.
        blocks: Number of units that are drawn independently: images, or clips.
    """
    value = 100 * mean_iou(confusion.sum(axis=0))
    if blocks < 2:
        return value, None
    return value, interval([value], 100 * resampled_miou(confusion, weights)[None], num_images=blocks)


def difference(
    confusion: Counts, other: Counts, weights: Values, blocks: int
) -> tuple[float, Interval | None]:
    """The mIoU minus another's on the same images, in points, and its paired 95 % interval."""
    value = 100 * (mean_iou(confusion.sum(axis=0)) - mean_iou(other.sum(axis=0)))
    if blocks < 2:
        return value, None
    resampled = 100 * (resampled_miou(confusion, weights) - resampled_miou(other, weights))
    return value, interval([value], resampled[None], num_images=blocks)


def differences_per_class(
    confusion: Counts, other: Counts, weights: Values, blocks: int
) -> tuple[NDArray[np.float64], list[Interval | None]]:
    """Each class's IoU minus another network's, in points (NaN if absent), with paired 95 % intervals.

    The interval of a class is over the resamples in which it occurs, and None if these are too few.
    """
    values = 100 * (iou_per_class(confusion.sum(axis=0)) - iou_per_class(other.sum(axis=0)))
    resampled = 100 * (resampled_iou(confusion, weights) - resampled_iou(other, weights))
    spans: list[Interval | None] = []
    for value, own in zip(values, resampled.T, strict=True):
        present = own[~np.isnan(own)]
        enough = blocks >= 2 and len(present) >= 2 and not np.isnan(value)
        spans.append(interval([float(value)], present[None], num_images=blocks) if enough else None)
    return values, spans
