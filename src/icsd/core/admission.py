"""Checks that a network is fit to teach: its mIoU beats chance and its classes are in the right order.

Confusion counts are per image, [N, C, C] (rows: truth, columns: prediction). A difference is clear if it is
at least ``CLEAR`` and its 95 % bootstrap interval over images does not reach below zero. The interval may
start at zero, since a resample of few images may contain none of those that differ.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from icsd.core.metrics import mean_iou

Counts = NDArray[np.integer]
RESAMPLES = 1000
CLEAR = 0.05
"""Smallest clear difference in mIoU, as a fraction; a smaller one may come from a few images."""
TWICE = 2.0
"""Factor by which swapped classes must overlap better with the truth in the best order than as given."""


@dataclass(frozen=True)
class Order:
    """The order of classes in which predictions fit the truth best.

    Attributes:
        column: For each true class, the predicted class that is assigned to it; each is used once.
        miou: The mIoU in this order.
        swapped: Whether this order is clearly better than the given one.
    """

    column: tuple[int, ...]
    miou: float
    swapped: bool


def chance(total: Counts) -> float:
    """The chance level of mIoU: that of the better of two predictors that have learned nothing.

    The first predicts the most frequent class everywhere. The second predicts as many pixels of each class
    as the network does, at random positions; it is better than the first if classes are equally frequent.

    Args:
        total: Confusion counts of the network, summed over images, [C, C].
    """
    return max(mean_iou(_constant(total)), _miou_at_random(total))


def beats_chance(counts: Counts) -> bool:
    """Whether a network is clearly better than ``chance``."""

    def gap(total: Counts) -> float:
        return mean_iou(total) - chance(total)

    return gap(counts.sum(0)) >= CLEAR and low_end(gap, counts) >= 0


def clearly_better(counts: Counts, other: Counts) -> bool:
    """Whether ``other`` is clearly better than ``counts`` on the same images, each in its best order."""
    ours, theirs = best_order(counts), best_order(other)

    def gap(total: Counts, other: Counts) -> float:
        return mean_iou(other[:, theirs.column]) - mean_iou(total[:, ours.column])

    return theirs.miou - ours.miou >= CLEAR and low_end(gap, counts, other) >= 0


def best_order(counts: Counts) -> Order:
    """The order of classes with the highest mIoU, by an optimal assignment (Kuhn, 1955).

    The classes count as swapped if those that move overlap ``TWICE`` as well as in the given order and by
    ``CLEAR`` more on average, and the 95 % interval over images of the gain in mIoU does not reach below 0.
    The network must also beat chance in the new order: the best order of any other network is an accident.
    """
    from scipy.optimize import linear_sum_assignment  # most stages order nothing, and it takes 0.2 s

    total = counts.sum(0)
    present = total.sum(1) > 0
    overlap = np.where(present[:, None], _overlap(total), 0)
    rows, column = linear_sum_assignment(overlap, maximize=True)
    _leave_in_place(column, overlap)

    def gain(total: Counts) -> float:
        return mean_iou(total[:, column]) - mean_iou(total)

    moved = present & (column != rows)
    before, after = (float(overlap[rows, each][moved].sum()) for each in (rows, column))
    swapped = after >= TWICE * before and after - before >= CLEAR * moved.sum() and moved.any()
    return Order(
        column=tuple(column.tolist()),
        miou=mean_iou(total[:, column]),
        swapped=bool(swapped and low_end(gain, counts) >= 0 and beats_chance(counts[..., column])),
    )


def low_end(statistic: Callable[..., float], *counts: Counts, seed: int = 0) -> float:
    """The lower end of the 95 % bootstrap percentile interval of a statistic; NaN counts as 0.

    Args:
        statistic: Takes, for each of ``counts``, the total [C, C] over the resampled images.
        counts: Counts [N, C, C] on the same images, which are resampled together.
        seed: Seed of the resampling.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    number = len(counts[0])
    images = [each.reshape(number, -1).astype(np.float64) for each in counts]
    values = []
    for _ in range(RESAMPLES):
        times = np.bincount(rng.integers(number, size=number), minlength=number).astype(np.float64)
        totals = [(times @ each).astype(np.int64).reshape(counts[0].shape[1:]) for each in images]
        values.append(statistic(*totals))
    return float(np.percentile(np.nan_to_num(values), 2.5))


def _constant(total: Counts) -> Counts:
    """The confusion of a prediction of the most frequent class everywhere."""
    constant = np.zeros_like(total)
    constant[:, total.sum(1).argmax()] = total.sum(1)
    return constant


def _miou_at_random(total: Counts) -> float:
    """The expected mIoU if as many pixels of each class as predicted were at random positions."""
    present = total.sum(1) > 0
    truth, predicted = total.sum(1)[present], total.sum(0)[present]
    hits = truth * predicted / max(int(total.sum()), 1)
    return float((hits / (truth + predicted - hits)).mean()) if present.any() else 0.0


def _overlap(total: Counts) -> NDArray[np.float64]:
    """IoU of every true class with every predicted one, [C, C]; 0 if neither has pixels."""
    union = total.sum(1)[:, None] + total.sum(0)[None, :] - total
    overlap: NDArray[np.float64] = np.divide(total, union, out=np.zeros(total.shape), where=union > 0)
    return overlap


def _leave_in_place(column: NDArray[np.integer], overlap: NDArray[np.float64]) -> None:
    """Undo, in place, the moves of an assignment that gain nothing."""
    for row in range(len(column)):
        other = int(np.flatnonzero(column == row)[0])
        now = overlap[row, column[row]] + overlap[other, row]
        if overlap[row, row] + overlap[other, column[row]] >= now:
            column[other], column[row] = column[row], row
