"""Inter-class similarity distillation.

Mansourian, Ahmadi, Kasaei: AICSD, Adaptive Inter-Class Similarity Distillation for Semantic Segmentation,
arXiv 2308.04243. Each class map becomes a distribution over the positions of an image; the KL divergences
between all pairs of them are the image's similarity matrix, and the student's matrix follows the teacher's.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

from icsd.core.pieces import averaged, processes
from icsd.core.similarity import full_precision, ics_matrix
from icsd.methods.base import (
    Ignored,
    Method,
    Resolution,
    Taps,
    Temperature,
    Terms,
    at_resolution,
    counted,
)

Variant = Literal["paper", "released"]
Rows = Literal["raw", "l2"]


class ICSD(Method):
    """The student's inter-class similarity matrices follow the teacher's.

    Args:
        variant: ``paper``: the method as the paper defines it. ``released``: exactly what the authors'
            published code computes; its softmax runs over the height only, and its divergence is given
            probabilities where log-probabilities belong. The two have different scales, so a weight for one
            does not apply to the other.
        temperature: τ, which divides the logits before the softmax.
        ignored: Whether positions without a class count.
        resolution: Whether the logits keep their own size or are upsampled to the labels'.
        rows: ``raw`` compares the matrices unchanged; ``l2`` first divides every row by its L2 norm.

    The published 9500 is for ``released``: with a plain mean of cross-entropy it becomes 57000 at a batch
    size of 6 (that code divides both losses by the batch size). For ``paper`` no weight is published.

    ``released`` implies ``ignored: include``, ``resolution: input`` and ``rows: l2``, whatever is given.
    """

    taps: tuple[str, ...] = ("logits",)
    terms: tuple[str, ...] = ("icsd",)
    published: ClassVar[Mapping[str, float]] = MappingProxyType({"icsd": 57000.0})

    def __init__(
        self,
        *,
        variant: Variant = "paper",
        temperature: Temperature = 1.0,
        ignored: Ignored = "exclude",
        resolution: Resolution = "logits",
        rows: Rows = "raw",
    ) -> None:
        super().__init__()
        self.variant: Variant = variant
        self.across_images = variant == "released"
        self.temperature = temperature
        self.ignored: Ignored = ignored
        self.resolution: Resolution = resolution
        self.rows: Rows = rows

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """``icsd``: the mean squared difference of the matrices, over images and class pairs."""
        with full_precision(student["logits"], teacher["logits"].detach()) as both:
            if self.variant == "released":
                s, t = (at_resolution(logits, labels, "input") for logits in both)
                return {"icsd": released_loss(s, t, temperature=self.temperature)}
            s, t = (at_resolution(logits, labels, self.resolution) for logits in both)
            valid = counted(s, labels, self.ignored)
            ours, theirs = (ics_matrix(z, temperature=self.temperature, valid=valid) for z in (s, t))
            if self.rows == "l2":
                ours, theirs = F.normalize(ours, dim=2), F.normalize(theirs, dim=2)
            return {"icsd": F.mse_loss(ours, theirs)}


def released_matrix(logits: Float[Tensor, "B C H W"], *, temperature: float = 1.0) -> Float[Tensor, "C C"]:
    """The matrix of the authors' code, before its rows are normalised.

    There, p_c is a softmax over the height, separately for every column, and for i <= j the entries [i, j]
    and [j, i] are ``KLDivLoss("batchmean")(p_i, p_j)``: Σ p_j (log p_j − p_i), averaged over the batch.
    """
    with full_precision(logits) as (scores,):
        log_p = F.log_softmax(scores / temperature, dim=2).flatten(2)
        p = log_p.exp()
        products = (p @ p.transpose(1, 2)).mean(dim=0)
        negative_entropy = (p * log_p).sum(dim=2).mean(dim=0)
        classes = torch.arange(logits.shape[1], device=logits.device)
        return negative_entropy[torch.maximum(classes[:, None], classes)] - products


def released_loss(
    student: Float[Tensor, "B C H W"], teacher: Float[Tensor, "B C H W"], *, temperature: float = 1.0
) -> Float[Tensor, ""]:
    """The loss of the authors' code: mean squared difference of row-normalised matrices, divided by B."""
    ours, theirs = (
        averaged(released_matrix(logits, temperature=temperature)) for logits in (student, teacher)
    )
    images = student.shape[0] * processes()
    return F.mse_loss(F.normalize(ours, dim=1), F.normalize(theirs, dim=1)) / images
