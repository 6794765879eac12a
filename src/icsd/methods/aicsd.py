"""Adaptive inter-class similarity distillation: ICSD and pixel-wise KD together (arXiv 2308.04243).

"Adaptive" refers to the weighting of the terms over the epochs, which is in ``icsd.core.weighting``.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from jaxtyping import Integer
from torch import Tensor

from icsd.methods.base import Ignored, Method, Resolution, Taps, Temperature, Terms
from icsd.methods.icsd import ICSD, Rows, Variant
from icsd.methods.kd import KD


class AICSD(Method):
    """The two distillation terms of the paper.

    Published weights (for ``released``, 21 classes and a batch of 6): 57000 and 10 · 6 / 21 = 2.86.

    Args:
        variant: See ``ICSD``; applies to the term ``icsd`` only.
        temperature: τ of both terms, as in the paper.
        ignored: See ``ICSD``; applies to both terms.
        resolution: See ``ICSD``; applies to both terms.
        rows: See ``ICSD``; applies to the term ``icsd`` only.
    """

    taps: tuple[str, ...] = ("logits",)
    terms: tuple[str, ...] = ("icsd", "kd")
    published: ClassVar[Mapping[str, float]] = MappingProxyType({"icsd": 57000.0, "kd": 2.86})

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
        self.icsd = ICSD(
            variant=variant, temperature=temperature, ignored=ignored, resolution=resolution, rows=rows
        )
        self.kd = KD(temperature=temperature, ignored=ignored, resolution=resolution)

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """``icsd`` and ``kd``."""
        return {**self.icsd(student, teacher, labels), **self.kd(student, teacher, labels)}
