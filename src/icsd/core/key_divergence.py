"""KL divergence of the similarities to a fixed set of keys, and its gradient, a chunk of rows at a time."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = {"cpu": 1 << 17, "cuda": 1 << 24}
"""Similarities in a chunk: on a CPU, what its cache holds; on a GPU, few launches."""


class KeyDivergence(torch.autograd.Function):
    """Σ_r w_r KL(softmax(T_r K + b) || softmax(S_r K + b)) for rows S and T [R, D] and keys K [D, A].

    The gradient of S is w (softmax(S K + b) − softmax(T K + b)) Kᵀ. It is worked out with the loss, while the
    similarities, the largest tensors by far, are at hand, and nothing of their size is kept.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        student: Tensor,
        teacher: Tensor,
        keys: Tensor,
        bias: Tensor,
        weights: Tensor,
    ) -> Tensor:
        """The loss; ``bias`` [A] is added to all similarities to a key, ``weights`` [R] are w."""
        total, gradient = student.new_zeros(()), torch.zeros_like(student)
        length = max(1, CHUNK.get(student.device.type, CHUNK["cpu"]) // keys.shape[1])
        for start in range(0, len(student), length):
            part = slice(start, start + length)
            ours, theirs = (torch.addmm(bias, x[part], keys) for x in (student, teacher))
            p, q = theirs.softmax(dim=1), ours.softmax(dim=1)
            difference = theirs.log_softmax(dim=1).sub_(ours.log_softmax(dim=1))
            w, counts = weights[part], weights[part] != 0
            total += (difference.mul_(p).sum(dim=1) * w).masked_fill(~counts, 0).sum()
            if ctx.needs_input_grad[0]:
                own = (q.sub_(p) @ keys.T) * w[:, None]
                gradient[part] = own.masked_fill(~counts[:, None], 0)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:  # noqa: ANN401
        """The gradient of the student's rows."""
        (gradient,) = ctx.saved_tensors
        return gradient * grad, None, None, None, None
