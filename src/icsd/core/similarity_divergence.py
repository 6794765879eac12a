"""KL divergence of two networks' similarities, and its gradient, a chunk of rows at a time.

The similarities are by far the largest tensors and are not saved for the backward pass: the gradient is
computed together with the loss. Powers are of 2, as in ``ChunkedSimilarity``.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = {"cpu": 1 << 18, "cuda": 1 << 24}
"""Similarities of one network per chunk, about. On a CPU they fit the cache; on a GPU they limit launches."""


class KeyDivergence(torch.autograd.Function):
    """Σ_r w_r KL(softmax(K T_r / τ) || softmax(K S_r / τ)) for rows S and T [R, D].

    K [A, D] are the known keys.
    The gradient with respect to S_r is w_r (softmax(K S_r / τ) − softmax(K T_r / τ)) K / τ.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        student: Tensor,
        teacher: Tensor,
        keys: Tensor,
        known: Tensor,
        weights: Tensor,
        temperature: float,
    ) -> Tensor:
        """The loss. ``known`` [A] masks the keys that count (if none does, it is 0); ``weights`` [R] is w."""
        # Finite instead of −inf: the probabilities are still 0, and gradients stay finite.
        bias = keys.new_zeros(len(keys)).masked_fill_(~known, torch.finfo(keys.dtype).min)
        divergences, gradients = [], []
        for part in _chunks(student, len(keys)):
            rows = torch.cat([teacher[part], student[part]]).mul_(1 / (temperature * math.log(2)))
            divergence, difference = _compared(*product(rows, keys.T, bias).chunk(2))
            divergences.append(divergence)
            if ctx.needs_input_grad[0]:
                gradients.append(product(difference, keys))
        counts = weights != 0  # a row with weight 0 may hold any values, even NaN
        if gradients:
            gradient = torch.cat(gradients).mul_(weights[:, None] / temperature)
            ctx.save_for_backward(gradient.masked_fill_(~counts[:, None], 0))
        return (torch.cat(divergences)[:, 0] * weights).masked_fill_(~counts, 0).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """The gradient of the student's rows."""
        (gradient,) = ctx.saved_tensors
        return gradient * grad, None, None, None, None, None


class PairDivergence(torch.autograd.Function):
    """Σ KL(softmax(T_r T_gᵀ / τ) || softmax(S_r S_gᵀ / τ)) over all rows r and all groups g of rows.

    With D [R, R] the differences of the softmaxes (student − teacher), the gradient with respect to S is
    (D + Dᵀ) S / τ.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        student: Tensor,
        teacher: Tensor,
        groups: int,
        temperature: float,
    ) -> Tensor:
        """The loss; the rows of ``student`` [R, D] and ``teacher`` [R, E] are groups of equal size."""
        total, gradient = student.new_zeros(()), torch.zeros_like(student)
        for part in _chunks(student, len(student)):
            scores = (product(x[part] / (temperature * math.log(2)), x.T) for x in (teacher, student))
            divergence, difference = _compared(*(x.view(len(x), groups, -1) for x in scores))
            total += divergence.sum()
            if ctx.needs_input_grad[0]:
                difference = difference.flatten(1)
                gradient[part].addmm_(difference, student)
                gradient.addmm_(difference.T, student[part])
        ctx.save_for_backward(gradient.div_(temperature))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """The gradient of the student's rows."""
        (gradient,) = ctx.saved_tensors
        return gradient * grad, None, None, None


def product(rows: Tensor, columns: Tensor, bias: Tensor | None = None) -> Tensor:
    """The matrix product of rows [R, D] and columns [D, A], plus a bias per column.

    On a CPU it uses oneDNN, which supports the vector units of every processor. The library behind torch's
    ``mm`` may use half their width and then takes twice as long.
    """
    if not torch.compiler.is_compiling() and _suits_onednn(rows):
        result: Tensor = torch.ops.mkldnn._linear_pointwise(rows, columns.T, bias, "none", [], "")
        return result
    return rows @ columns if bias is None else torch.addmm(bias, rows, columns)


def _suits_onednn(rows: Tensor) -> bool:
    has_it: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return has_it and rows.device.type == "cpu" and rows.dtype == torch.float32


def _chunks(rows: Tensor, similarities: int) -> Iterator[slice]:
    """Equal chunks of rows, where each row has the given number of similarities."""
    size = CHUNK.get(rows.device.type, CHUNK["cpu"])
    length = math.ceil(len(rows) / max(1, round(len(rows) * similarities / size)))
    return (slice(start, start + length) for start in range(0, len(rows), length))


def _compared(theirs: Tensor, ours: Tensor) -> tuple[Tensor, Tensor]:
    """KL(p || q) [R, …, 1] and q − p [R, …, A], where p is the softmax of theirs · ln 2 and q that of ours.

    Both scores are overwritten.
    """
    for scores in (theirs, ours):
        scores.sub_(scores.amax(dim=-1, keepdim=True))
    p, q = theirs.exp2(), ours.exp2()
    total_p, total_q = p.sum(dim=-1, keepdim=True), q.sum(dim=-1, keepdim=True)
    ratio = total_q / total_p
    cross = theirs.sub_(ours).mul_(p).sum(dim=-1, keepdim=True)
    return cross * math.log(2) / total_p + ratio.log(), q.addcmul_(p, ratio, value=-1).div_(total_q)
