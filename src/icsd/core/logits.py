"""Logits compared with labels: upsampling, the positions that have a class, and cross-entropy."""

import torch
from jaxtyping import Bool, Integer
from torch import Tensor
from torch.nn import functional as F

from icsd.core.labels import IGNORE, UNLABELLED
from icsd.core.pieces import divisor
from icsd.core.tiled_cross_entropy import tiled_cross_entropy

_MANY_CLASSES = 22
"""Number of classes from which cross-entropy is tiled. No preset has as many, so none changes its results."""


def upsample(logits: Tensor, size: torch.Size | tuple[int, ...]) -> Tensor:
    """Upsample logits [B, C, h, w] bilinearly with aligned corners, as in the published networks."""
    return F.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=True)


def resized(maps: Tensor, like: Tensor) -> Tensor:
    """Resize maps [B, C, h, w] to the size of ``like``, bilinearly with aligned corners, if they differ."""
    return maps if maps.shape[-2:] == like.shape[-2:] else upsample(maps, like.shape[-2:])


def told(labels: Integer[Tensor, "B H W"]) -> Integer[Tensor, "B H W"]:
    """The labels that a student learns from: unlabelled pixels become ignored ones."""
    return labels.where(labels != UNLABELLED, IGNORE)


def valid_positions(labels: Integer[Tensor, "B H W"], size: tuple[int, int]) -> Bool[Tensor, "B h w"]:
    """Mask of the positions of a map of ``size`` whose nearest label is not ignored; hidden labels count.

    Nearest neighbour on the grid of bilinear upsampling with ``align_corners=True``: corners coincide.
    """
    rows, columns = (
        (2 * torch.arange(n, device=labels.device) * (N - 1) + max(n - 1, 1)) // (2 * max(n - 1, 1))
        for n, N in zip(size, labels.shape[-2:], strict=True)
    )
    return labels[:, rows[:, None], columns] != IGNORE


def cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over the labelled pixels, at the labels' resolution, in float32.

    Zero if no pixel is labelled (torch's own mean would be NaN).

    Args:
        logits: [B, C, h, w].
        labels: [B, H, W], int64.
        class_weights: [C], float32, above 0 for every labelled class. As in torch's weighted mean, a pixel
            has its class's weight in both the sum and the divisor.
    """
    labels = told(labels)
    with torch.autocast(logits.device.type, enabled=False):
        if logits.shape[1] >= _MANY_CLASSES and not torch.compiler.is_compiling():  # which fuses by itself
            total = tiled_cross_entropy(logits.float(), labels, class_weights)
        else:
            full = upsample(logits.float(), labels.shape[-2:])
            total = F.cross_entropy(full, labels, class_weights, ignore_index=IGNORE, reduction="sum")
        if class_weights is None:
            return total / divisor(lambda labels: (told(labels) != IGNORE).sum(), labels)
        counts = F.pad(class_weights, (0, IGNORE + 1 - len(class_weights)))
        return total / divisor(lambda labels: counts[told(labels)].sum(), labels)
