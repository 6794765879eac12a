"""Distillation from a stronger teacher, by correlation instead of divergence.

Huang, You, Wang, Qian, Xu: Knowledge Distillation from A Stronger Teacher, NeurIPS 2022, arXiv 2205.10536.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional as F

from icsd.core.pieces import averaged, processes, summed
from icsd.core.similarity import full_precision
from icsd.methods.base import Ignored, Method, Taps, Temperature, Terms, counted, number_counted

EPSILON = 1e-8  # smallest product of norms that a correlation is divided by


class DIST(Method):
    """The student's class probabilities correlate with the teacher's, by pixel and by class.

    With y = softmax(logits / τ) over classes and ρ the Pearson correlation of student and teacher:
    ``dist_inter = τ² · mean over pixels of (1 − ρ over the classes of a pixel)`` and
    ``dist_intra = τ² · mean over classes of (1 − ρ over all pixels, in the class's channel)``. The student
    has to match the shape of the teacher's distribution, not its scale.

    Reading: this follows the authors' segmentation code. For ``dist_intra`` it treats the pixels of
    the whole batch (of one part, if a batch is split to fit into memory) as one population rather than each
    image separately, and it has τ = 1; the factor τ² is from their later code with a temperature. Its weights
    are 1 and 1, alongside an auxiliary head at 0.4, which this project does not have, and all pixels count.

    Correlation with a constant is undefined and counts as 0, with a finite gradient. If student and teacher
    hardly vary (a class that neither sees), it also fades to 0, because the product of norms in its
    denominator is at least 1e-8. The published code adds 1e-8 to that product instead, so that the loss of a
    student equal to its teacher would not reach 0.

    Args:
        temperature: τ.
        ignored: Whether pixels without a class count (they do as published). Both terms are 0 if no pixel
            counts.
    """

    taps: tuple[str, ...] = ("logits",)
    terms: tuple[str, ...] = ("dist_inter", "dist_intra")
    across_images = True
    published: ClassVar[Mapping[str, float]] = MappingProxyType({"dist_inter": 1.0, "dist_intra": 1.0})

    def __init__(self, *, temperature: Temperature = 1.0, ignored: Ignored = "exclude") -> None:
        super().__init__()
        self.temperature = temperature
        self.ignored: Ignored = ignored

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """``dist_inter`` and ``dist_intra``: one minus the mean correlation, times τ²."""
        with full_precision(student["logits"], teacher["logits"].detach()) as both:
            valid = counted(both[0], labels, self.ignored)
            if valid is not None:
                both = tuple(logits.masked_fill(~valid[:, None], 0) for logits in both)
            s, t = (F.softmax(logits / self.temperature, dim=1) for logits in both)
            return {
                "dist_inter": self.temperature**2
                * inter_class(s, t, valid, number=number_counted(s, labels, self.ignored)),
                "dist_intra": self.temperature**2 * intra_class(s, t, valid),
            }


def inter_class(
    student: Float[Tensor, "B C h w"],
    teacher: Float[Tensor, "B C h w"],
    valid: Bool[Tensor, "B h w"] | None,
    *,
    number: Tensor | None,
) -> Float[Tensor, ""]:
    """Sum over valid pixels of 1 − correlation over classes, divided by ``number``; 0 if none is valid."""
    s, t = (p - p.mean(dim=1, keepdim=True) for p in (student, teacher))
    distance = 1 - _cosine(s, t, dims=(1,))
    if valid is None or number is None:
        return distance.mean()
    return distance.masked_fill(~valid, 0).sum() / number


def intra_class(
    student: Float[Tensor, "B C h w"], teacher: Float[Tensor, "B C h w"], valid: Bool[Tensor, "B h w"] | None
) -> Float[Tensor, ""]:
    """The mean over classes of 1 − correlation over the batch's valid pixels; 0 if no pixel is valid."""
    pixels = (0, 2, 3)
    if valid is None:
        s, t = (p - _settled(averaged(p.mean(dim=pixels, keepdim=True))) for p in (student, teacher))
        return (1 - _cosine(s, t, dims=pixels, of_all=True)).mean()
    inside, number = valid[:, None], summed(valid.sum()).clamp(min=1)
    sums = (summed((p * inside).sum(dim=pixels, keepdim=True)) for p in (student, teacher))
    means = (_settled(total / number) for total in sums)
    s, t = ((p - mean) * inside for p, mean in zip((student, teacher), means, strict=True))
    return (1 - _cosine(s, t, dims=pixels, of_all=True)).mean() * (summed(valid.sum()) > 0)


def _settled(mean: Tensor) -> Tensor:
    """Detach a mean that is taken over several processes.

    The gradients that all pixels send to their mean add up to 0, but those of one process's pixels do not.
    """
    return mean.detach() if processes() > 1 else mean


def _cosine(a: Tensor, b: Tensor, *, dims: tuple[int, ...], of_all: bool = False) -> Tensor:
    """Cosine over ``dims``. The square root's argument is clamped from below, so its gradient is finite.

    With ``of_all`` the vectors extend over the pieces of all processes.
    """
    sums = [x.sum(dim=dims) for x in (a * b, a.square(), b.square())]
    product, ours, theirs = [summed(x) for x in sums] if of_all else sums
    return product / (ours * theirs).clamp(min=EPSILON**2).sqrt()
