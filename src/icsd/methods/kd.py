"""Pixel-wise knowledge distillation.

Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, arXiv 1503.02531, applied to every pixel.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional as F

from icsd.core.similarity import full_precision
from icsd.methods.base import (
    Ignored,
    Method,
    Resolution,
    Taps,
    Temperature,
    Terms,
    at_resolution,
    counted,
    number_counted,
)


class KD(Method):
    """The student's class distribution at every pixel matches the teacher's.

    The released AICSD code also divides this by the number of classes: its weight w is w / C here.
    Published weight (from CIRKD, with the same normalisation): 1.

    Args:
        temperature: τ, which softens both distributions; the factor τ² keeps the size of the gradient.
        ignored: Whether pixels without a class count.
        resolution: Whether the logits keep their own size or are upsampled to the labels' (as released).
    """

    taps: tuple[str, ...] = ("logits",)
    terms: tuple[str, ...] = ("kd",)
    published: ClassVar[Mapping[str, float]] = MappingProxyType({"kd": 1.0})

    def __init__(
        self,
        *,
        temperature: Temperature = 1.0,
        ignored: Ignored = "exclude",
        resolution: Resolution = "logits",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.ignored: Ignored = ignored
        self.resolution: Resolution = resolution

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """``kd``: see ``pixel_kl``."""
        with full_precision(student["logits"], teacher["logits"].detach()) as both:
            s, t = (at_resolution(logits, labels, self.resolution) for logits in both)
            valid = counted(s, labels, self.ignored)
            number = number_counted(s, labels, self.ignored)
            return {"kd": pixel_kl(s, t, temperature=self.temperature, valid=valid, number=number)}


class WithKD(Method):
    """A method combined with pixel-wise KD, built if a block weights ``kd`` and the method has no such term.

    KD keeps its own defaults (temperature 1, at the logits' resolution), whatever the method's options.
    """

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method
        self.kd = KD()
        self.taps = tuple(dict.fromkeys((*method.taps, *self.kd.taps)))
        self.terms = (*method.terms, *self.kd.terms)

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """The method's terms, and ``kd``."""
        return {**self.method(student, teacher, labels), **self.kd(student, teacher, labels)}


def pixel_kl(
    student: Float[Tensor, "B C h w"],
    teacher: Float[Tensor, "B C h w"],
    *,
    temperature: float = 1.0,
    valid: Bool[Tensor, "B h w"] | None = None,
    number: Tensor | None = None,
) -> Float[Tensor, ""]:
    """τ² times the mean over valid pixels of KL(softmax(teacher/τ) || softmax(student/τ)), in nats.

    0 if no pixel is valid. ``number`` replaces the number of valid pixels as the divisor.
    """
    log_student, log_teacher = (F.log_softmax(logits / temperature, dim=1) for logits in (student, teacher))
    divergence = F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(dim=1)
    if valid is None:
        return temperature**2 * divergence.mean()
    total = divergence.masked_fill(~valid, 0).sum()
    return temperature**2 * total / (valid.sum().clamp(min=1) if number is None else number)
