"""Inter-class similarity matrices, which the ICSD loss compares and evaluation measures."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from icsd.core.chunked_similarity import ChunkedSimilarity


def ics_matrix(
    logits: Float[Tensor, "B C h w"], *, temperature: float = 1.0, valid: Bool[Tensor, "B h w"] | None = None
) -> Float[Tensor, "B C C"]:
    """The inter-class similarity matrix of every image, in nats.

    Entry [i, j] is KL(p_i || p_j), where p_c is the softmax of class map c over the valid positions of its
    image (arXiv 2308.04243). The diagonal is exactly 0; the matrix of an image without a valid position is 0.

    Computed in chunks of positions (``ChunkedSimilarity``), which can be differentiated once. Under
    ``torch.compile`` this is ``plain_ics_matrix``, whose operations the compiler fuses.
    """
    if torch.compiler.is_compiling():
        return plain_ics_matrix(logits, temperature=temperature, valid=valid)
    with full_precision(logits) as (scores,):
        flat_valid = None if valid is None else valid.flatten(1)
        matrix: Tensor = ChunkedSimilarity.apply(scores.flatten(2), flat_valid, temperature)
        return matrix


def plain_ics_matrix(
    logits: Float[Tensor, "B C h w"], *, temperature: float = 1.0, valid: Bool[Tensor, "B h w"] | None = None
) -> Float[Tensor, "B C C"]:
    """``ics_matrix`` in plain torch operations, which can be differentiated any number of times.

    With L = log(N p) for N positions, entry [i, j] is Σ p_i L_i − Σ p_i L_j: one matrix product for all
    pairs. log N cancels. For a nearly uniform map L is near 0, whereas log p is near −log N, and rounding
    would lose the digits in which two such maps differ.
    """
    with full_precision(logits) as (scores,):
        scores = scores.flatten(2) / temperature
        outside = None if valid is None else ~valid.flatten(1)[:, None]
        if outside is not None:
            # Finite instead of −inf: an image with no valid position would get NaN gradients.
            scores = scores.masked_fill(outside, torch.finfo(scores.dtype).min)
        num_positions = scores.shape[2] if outside is None else (~outside).sum(2, keepdim=True).clamp(min=1)
        below_peak = scores - scores.amax(2, keepdim=True).detach()
        unscaled = below_peak.exp()
        total = unscaled.sum(2, keepdim=True)
        p, log_np = unscaled / total, below_peak - (total / num_positions).log()
        if outside is not None:
            log_np = log_np.masked_fill(outside, 0)
        cross = p @ log_np.transpose(1, 2)
        return cross.diagonal(dim1=1, dim2=2)[:, :, None] - cross


@contextmanager
def full_precision(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Disable autocast in the ``with`` block and give the tensors in float32 (float64 stays).

    Differences of logarithms cancel, and the 8 bits of bfloat16's mantissa would leave nothing of them.
    """
    with torch.autocast(tensors[0].device.type, enabled=False):
        yield tuple(t.to(torch.promote_types(t.dtype, torch.float32)) for t in tensors)
