"""Metrics computed from confusion counts (rows: truth, columns: prediction), as fractions."""

import numpy as np
from numpy.typing import NDArray


def iou_per_class(confusion: NDArray[np.integer]) -> NDArray[np.float64]:
    """Intersection over union of every class; NaN for a class that is absent from the ground truth."""
    hits, truth = np.diag(confusion), confusion.sum(axis=1)
    return _ratio(hits, truth + confusion.sum(axis=0) - hits, where=truth > 0)


def mean_iou(confusion: NDArray[np.integer]) -> float:
    """Mean IoU over the classes present in the ground truth; NaN if there are none."""
    return _mean(iou_per_class(confusion))


def mean_iou_of_seen(confusion: NDArray[np.integer]) -> float:
    """Mean IoU in which a class that is only predicted counts as 0, as in torchmetrics and MMSegmentation.

    Equal to :func:`mean_iou` unless a class that is absent from the ground truth was predicted.
    """
    hits, union = np.diag(confusion), confusion.sum(axis=1) + confusion.sum(axis=0) - np.diag(confusion)
    return _mean(_ratio(hits, union, where=union > 0))


def pixel_accuracy(confusion: NDArray[np.integer]) -> float:
    """The fraction of pixels with the right class; NaN if there are no pixels."""
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else float("nan")


def mean_class_accuracy(confusion: NDArray[np.integer]) -> float:
    """Mean recall over the classes present in the ground truth.

    arXiv 2308.04243 reports this as "Accuracy".
    """
    truth = confusion.sum(axis=1)
    return _mean(_ratio(np.diag(confusion), truth, where=truth > 0))


def absent_classes(confusion: NDArray[np.integer]) -> list[int]:
    """The classes absent from the ground truth; ``mean_iou`` and ``mean_class_accuracy`` leave them out."""
    return [int(index) for index in np.flatnonzero(confusion.sum(axis=1) == 0)]


def _ratio(
    above: NDArray[np.integer], below: NDArray[np.integer], *, where: NDArray[np.bool_]
) -> NDArray[np.float64]:
    ratio = np.full(len(above), np.nan)
    np.divide(above, below, out=ratio, where=where)
    return ratio


def _mean(values: NDArray[np.float64]) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")
