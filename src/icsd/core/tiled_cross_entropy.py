"""Cross-entropy of upsampled logits, tile by tile, so that the upsampled logits are never all in memory.

With 150 classes, upsampling, softmax and their gradients move gigabytes for a batch of crops, and an epoch
takes three times as long as with 2. A tile fits the cache, and its gradient is computed while it is there:
softmax minus one-hot, reduced to the logits' size by the transpose of upsampling.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from icsd.core.labels import IGNORE

_CPU_VALUES = 1 << 17
"""Values per tile: 0.5 MB, which fits a core's cache."""
_CPU_COLUMNS = 96
"""Columns per tile. Upsampling multiplies by a matrix, and more columns mean more zeros in it."""
_GPU_VALUES = 1 << 25


class _Axis(NamedTuple):
    """Upsampling along one axis, with aligned corners.

    Attributes:
        weights: [N, n], the weight of each input position in each output position.
        lower: The first of the (at most two) input positions that contribute to each output position.
    """

    weights: Tensor
    lower: list[int]

    def part(self, begin: int, end: int) -> tuple[Tensor, slice]:
        """Weights of output positions ``begin`` to ``end``, and the input positions that contribute."""
        used = slice(self.lower[begin], min(self.weights.shape[1], self.lower[end - 1] + 2))
        return self.weights[begin:end, used], used


def tiled_cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor | None) -> Tensor:
    """Sum over the pixels that are not ignored of the cross-entropy of upsampled logits.

    Args:
        logits: [B, C, h, w], float32 or float64.
        labels: [B, H, W], int64.
        class_weights: [C], or None for equal weights.
    """
    total: Tensor = _TiledCrossEntropy.apply(logits, labels, class_weights)
    return total


class _TiledCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context has no type of its own
        logits: Tensor,
        labels: Tensor,
        class_weights: Tensor | None,
    ) -> Tensor:
        rows, columns = (_axis(n, N, logits) for n, N in zip(logits.shape[2:], labels.shape[1:], strict=True))
        gradient = torch.zeros_like(logits, memory_format=torch.contiguous_format)
        total = torch.zeros((), dtype=torch.float64, device=logits.device)
        height, width = labels.shape[1:]
        side = width if logits.is_cuda else min(_CPU_COLUMNS, width)
        tall = max(1, (_GPU_VALUES if logits.is_cuda else _CPU_VALUES) // (logits.shape[1] * side))
        for image, label, slope in zip(logits, labels, gradient, strict=True):
            for top in range(0, height, tall):
                bottom = min(height, top + tall)
                row_weights, used_rows = rows.part(top, bottom)
                strip = row_weights @ image[:, used_rows]
                strip_gradient = torch.zeros_like(strip)
                for left in range(0, width, side):
                    right = min(width, left + side)
                    weights, used = columns.part(left, right)
                    tile = strip[..., used] @ weights.t()
                    total += _replace_by_gradient(
                        tile.flatten(1), label[top:bottom, left:right].flatten(), class_weights
                    )
                    strip_gradient[..., used] += tile @ weights
                slope[:, used_rows] += row_weights.t() @ strip_gradient
        ctx.save_for_backward(gradient)
        return total.to(logits.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        return ctx.saved_tensors[0] * slope, None, None


def _replace_by_gradient(values: Tensor, labels: Tensor, class_weights: Tensor | None) -> Tensor:
    """The summed cross-entropy; overwrites the logits ``values`` [C, N] with its gradient."""
    valid = labels != IGNORE
    labels = labels.where(valid, 0)
    counts = valid.to(values.dtype) if class_weights is None else class_weights[labels] * valid
    pixels = torch.arange(len(labels), device=labels.device)
    values -= values.amax(0)
    true = values[labels, pixels]
    sums = values.exp_().sum(0)
    values *= counts / sums
    values[labels, pixels] -= counts
    return ((sums.log() - true) * counts).sum(dtype=torch.float64)


def _axis(small: int, large: int, like: Tensor) -> _Axis:
    places = torch.arange(large, dtype=torch.float64) * ((small - 1) / max(large - 1, 1))
    lower = places.floor().clamp(max=max(small - 2, 0)).long()
    weights = torch.zeros(large, small, dtype=torch.float64)
    upper = (lower + 1).clamp(max=small - 1)
    weights.scatter_(1, upper[:, None], (places - lower)[:, None])
    weights.scatter_add_(1, lower[:, None], (1 - places + lower)[:, None])
    return _Axis(weights.to(like), lower.tolist())
