"""The inter-class similarity matrix and its gradient, a chunk of positions at a time."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = {"cpu": 1 << 16, "cuda": 1 << 24}
"""Values per chunk. On a CPU a chunk fits the cache and keeps sums short; on a GPU it limits launches."""

BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


class ChunkedSimilarity(torch.autograd.Function):
    """[B, C, N] scores -> [B, C, C] of KL(p_i || p_j), where p_c is the softmax of scores / τ over N.

    With d = (scores − their maximum) / (τ ln 2) and e = 2^d, only Σ e_i and Σ e_i d_j are summed over
    positions; the rest is arithmetic on [C, C] values in float64. The backward pass recomputes e in one more
    pass over the scores. The scores themselves are the only tensor of their size that is saved, and the
    gradient is the only one that is allocated. Powers are of 2, as torch's exp2 is four times as fast as its
    exp on some CPUs.

    With L = log(N p), X_ij = Σ p_i L_j and G the gradient with respect to the matrix X_ii − X_ij, let
    A = diag(row sums of G) − G. The gradient with respect to the scores of class k at a position is
    (p_k ((A L)_k − Σ_j A_kj X_kj − Σ_i A_ik) + (Aᵀ p)_k) / τ.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, valid: Tensor | None, temperature: float) -> Tensor:  # noqa: ANN401
        """The matrices [B, C, C]. ``valid`` [B, N] masks the positions that count; None counts all."""
        batch, classes, positions = scores.shape
        peak = _peaks(scores, valid)
        total = scores.new_zeros(batch, classes, 1, dtype=torch.float64)
        cross = scores.new_zeros(batch, classes, classes, dtype=torch.float64)
        for images, _, d, e in _pieces(scores, valid, peak, temperature):
            total[images] += e.sum(2, keepdim=True)
            cross[images] += torch.bmm(e, d.transpose(1, 2))
        total.clamp_(min=1)  # only if no position is valid; else the peak's e is 1
        count = positions if valid is None else valid.sum(1).clamp(min=1)[:, None, None]
        log_mean = (total / count).log()
        cross = cross.mul_(math.log(2)) / total - log_mean.transpose(1, 2)
        ctx.save_for_backward(scores, valid, peak, total, log_mean, cross)
        ctx.temperature = temperature
        return (cross.diagonal(dim1=1, dim2=2)[:, :, None] - cross).to(scores.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        """The gradient with respect to the scores."""
        scores, valid, peak, total, log_mean, cross = ctx.saved_tensors
        g = grad.double()
        a = torch.diag_embed(g.sum(2)) - g
        shift = -(a @ log_mean) - (a * cross).sum(2, keepdim=True) - a.sum(1)[:, :, None]
        scale = 1 / (total * ctx.temperature)  # p / τ = e times this
        a *= scale
        from_d, from_e = (a * math.log(2)).to(scores.dtype), a.transpose(1, 2).to(scores.dtype)
        shift = (shift * scale).to(scores.dtype)
        result = torch.empty_like(scores)
        for images, places, d, e in _pieces(scores, valid, peak, ctx.temperature):
            own = torch.baddbmm(shift[images], from_d[images], d).mul_(e)
            torch.baddbmm(own, from_e[images], e, out=result[images, :, places])
        return result, None, None


def _peaks(scores: Tensor, valid: Tensor | None) -> Tensor:
    """The largest valid score of every class map, [B, C, 1]."""
    if valid is None:
        return scores.amax(2, keepdim=True)
    lowest = torch.finfo(scores.dtype).min
    peak = scores.new_full((*scores.shape[:2], 1), lowest)
    for images, places in _chunks(scores):
        counts = valid[images, None, places]
        piece = scores[images, :, places].clone()
        _erase(piece, counts).add_(counts.logical_not().to(scores.dtype), alpha=lowest)
        peak[images] = torch.maximum(peak[images], piece.amax(2, keepdim=True))
    return peak


def _pieces(
    scores: Tensor, valid: Tensor | None, peak: Tensor, temperature: float
) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
    """Images, positions, d and e of every chunk; d and e are 0 at ignored positions.

    Chunks share their buffers: d and e are overwritten when the next chunk is requested.
    """
    buffers: list[Tensor] = []
    for images, places in _chunks(scores):
        piece = scores[images, :, places]
        if not buffers:  # no chunk is larger than the first
            buffers = [scores.new_empty(piece.numel()) for _ in range(2)]
        d, e = (buffer[: piece.numel()].view(piece.shape) for buffer in buffers)
        torch.sub(piece, peak[images], out=d).mul_(1 / (temperature * math.log(2)))
        torch.exp2(d, out=e)
        if valid is not None:
            for each in (d, e):
                _erase(each, valid[images, None, places])
        yield images, places, d, e


def _erase(values: Tensor, valid: Tensor) -> Tensor:
    """Set ignored values to 0 in place, including NaN and infinity; ``values`` is float32 or float64.

    Masks their bits, because torch's ``masked_fill_`` does not use a CPU's vector units.
    """
    bits = BITS[values.dtype]
    values.view(bits).bitwise_and_(valid.to(bits).neg_())
    return values


def _chunks(scores: Tensor) -> Iterator[tuple[slice, slice]]:
    """Images and positions of the chunks: one or more whole images, or part of a large one."""
    batch, classes, positions = scores.shape
    size = CHUNK.get(scores.device.type, CHUNK["cpu"])
    images = max(1, size // (classes * positions))
    length = min(positions, max(1, size // classes))
    for first in range(0, batch, images):
        for start in range(0, positions, length):
            yield slice(first, first + images), slice(start, start + length)
