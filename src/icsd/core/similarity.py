"""Inter-class similarity matrices: what the ICSD loss compares, and what evaluation measures."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def ics_matrix(
    logits: Float[Tensor, "B C h w"], *, temperature: float = 1.0, valid: Bool[Tensor, "B h w"] | None = None
) -> Float[Tensor, "B C C"]:
    """The inter-class similarity matrix of every image, in nats.

    Entry [i, j] is KL(p_i || p_j), where p_c is the softmax of class map c over the valid positions of its
    image (arXiv 2308.04243). With L = log p and P = p it is Σ P_i L_i − Σ P_i L_j: one matrix product for
    all pairs. The diagonal is exactly 0; an image without a valid position has the matrix 0.
    """
    with full_precision(logits) as (scores,):
        scores = scores.flatten(2) / temperature
        if valid is None:
            log_p = F.log_softmax(scores, dim=2)
            p = log_p.exp()
        else:
            outside = ~valid.flatten(1)[:, None]
            # Finite instead of −inf: an image with no valid position would get NaN gradients.
            log_p = F.log_softmax(scores.masked_fill(outside, torch.finfo(scores.dtype).min), dim=2)
            p = log_p.exp()
            log_p = log_p.masked_fill(outside, 0)
        cross = p @ log_p.transpose(1, 2)
        return cross.diagonal(dim1=1, dim2=2)[:, :, None] - cross


@contextmanager
def full_precision(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The tensors in float32 (float64 stays), and mixed precision switched off while the block runs.

    Differences of logarithms cancel: 8 bits of mantissa leave nothing of them.
    """
    with torch.autocast(tensors[0].device.type, enabled=False):
        yield tuple(t.to(torch.promote_types(t.dtype, torch.float32)) for t in tensors)
