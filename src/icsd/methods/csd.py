"""Category-wise similarity distillation.

Feng, Sun, Diao, Li, Gao: Double Similarity Distillation for Semantic Image Segmentation, IEEE TIP 2021,
arXiv 2107.08591: its category-wise half.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float, Integer
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from icsd.core.similarity import full_precision
from icsd.methods.base import Ignored, Method, Taps, Temperature, Terms, counted

Pool = Annotated[int, Field(ge=1)]


class CSD(Method):
    """The student's inner products between class maps match the teacher's.

    The logits are averaged over 2x2 cells; p_c is the softmax of class map c, divided by τ, over the
    positions of an image; M = P Pᵀ (CxC); ``csd = mean over images and class pairs of
    (M_teacher − M_student)²``. It is ICSD with an inner product in place of the KL divergence. With ICSD's
    temperature, ``pool: 1`` and ``ignored: exclude`` the distributions are identical, so comparing the two
    shows what the divergence adds.

    Reading: CIRKD's reimplementation, without row normalisation and with τ = 4. It uses this with
    weight 10 alongside the pixel-wise half (residual attention) at 1000, without KD; here it is alone. Inner
    products of distributions over N positions are of the order of 1/N, and the loss of 1/N², so the weight
    is tied to the number of positions. CIRKD's logits have stride 8, or 16 after pooling; for logits of
    stride 4, ``pool: 4`` gives as many positions.

    Args:
        temperature: τ, which divides the logits before the softmax.
        pool: Side of the cells that are averaged first, 1 for none; cells at the border may be smaller.
        ignored: ``include``, as published: all positions count. ``exclude``: a cell is the average of
            its positions that have a class, and a cell without any does not count.
    """

    taps: tuple[str, ...] = ("logits",)
    terms: tuple[str, ...] = ("csd",)
    published: ClassVar[Mapping[str, float]] = MappingProxyType({"csd": 10.0})

    def __init__(
        self, *, temperature: Temperature = 4.0, pool: Pool = 2, ignored: Ignored = "include"
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.pool = pool
        self.ignored: Ignored = ignored

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """``csd``: the mean squared difference of the matrices, over images and class pairs."""
        with full_precision(student["logits"], teacher["logits"].detach()) as both:
            valid = counted(both[0], labels, self.ignored)
            ours, theirs = (
                category_similarity(
                    pooled(logits, self.pool, valid),
                    temperature=self.temperature,
                    valid=None if valid is None else any_in_cell(valid, self.pool),
                )
                for logits in both
            )
            return {"csd": F.mse_loss(ours, theirs)}


def category_similarity(
    logits: Float[Tensor, "B C h w"], *, temperature: float, valid: Bool[Tensor, "B h w"] | None = None
) -> Float[Tensor, "B C C"]:
    """Inner products of all pairs of class maps, each a softmax over the valid positions of its image.

    The matrix of an image without a valid position is 0.
    """
    scores = logits.flatten(2) / temperature
    if valid is None:
        p = F.softmax(scores, dim=2)
    else:
        outside = ~valid.flatten(1)[:, None]
        # Finite instead of −inf: an image with no valid position would get NaN gradients.
        p = F.softmax(scores.masked_fill(outside, torch.finfo(scores.dtype).min), dim=2)
        p = p.masked_fill(outside, 0)
    return p @ p.transpose(1, 2)


def pooled(
    logits: Float[Tensor, "B C h w"], side: int, valid: Bool[Tensor, "B h w"] | None = None
) -> Float[Tensor, "B C _ _"]:
    """The average of the valid positions in every cell of side x side; 0 if a cell has none."""
    if valid is None:
        return F.avg_pool2d(logits, side, ceil_mode=True)
    outside = ~valid[:, None]
    sums = F.avg_pool2d(logits.masked_fill(outside, 0), side, ceil_mode=True)
    share = F.avg_pool2d(valid[:, None].to(logits.dtype), side, ceil_mode=True)
    return sums / share.masked_fill(share == 0, 1)


def any_in_cell(valid: Bool[Tensor, "B h w"], side: int) -> Bool[Tensor, "B _ _"]:
    """Mask of the cells of side x side that contain a valid position."""
    return F.max_pool2d(valid.float(), side, ceil_mode=True) > 0
