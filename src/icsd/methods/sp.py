"""Similarity-preserving distillation.

Tung, Mori: Similarity-Preserving Knowledge Distillation, ICCV 2019, arXiv 1907.09682.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

from icsd.core.pieces import gathered
from icsd.core.similarity import full_precision
from icsd.methods.base import Method, Taps, Terms

Tap = Literal["stage1", "stage2", "stage3", "stage4", "aspp", "decoder"]


class SimilarityPreserving(Method):
    """Images that are similar to the teacher are similar to the student.

    With F [B, …] the flattened features of the images, Q = F Fᵀ [B, B], and every row of Q divided by its L2
    norm (Q'): ``sp = (1/B²) Σ (Q'_teacher − Q'_student)²``, the mean over pairs of images. Widths need not
    agree, so there is no adapter. Labels are not used.

    The images are those of one forward pass on all devices; if a batch is split to fit into memory, they are
    those of one part. With a single image the loss is 0. Rows of Q' have unit length whatever B is, so the
    loss falls roughly with 1/B: the published 3000 (RepDistiller, CIFAR-100, without KD) is for B = 64, and
    3000 · B / 64 is equivalent here.

    The AICSD paper compares with this on the ASPP's map (in its code before a ReLU, here after); the
    weight is not known.

    Args:
        tap: The feature map. Only ``aspp`` is tapped after its last ReLU.
    """

    taps: tuple[str, ...] = ("aspp",)
    terms: tuple[str, ...] = ("sp",)
    across_images = True
    published: ClassVar[Mapping[str, float]] = MappingProxyType({"sp": 3000.0})

    def __init__(self, *, tap: Tap = "aspp") -> None:
        super().__init__()
        self.taps = (tap,)

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """``sp``: the mean squared difference of the similarities between images."""
        (tap,) = self.taps
        with full_precision(student[tap], teacher[tap].detach()) as (s, t):
            return {"sp": F.mse_loss(image_similarity(gathered(s)), image_similarity(gathered(t)))}


def image_similarity(feature: Float[Tensor, "B C h w"]) -> Float[Tensor, "B B"]:
    """Inner products of all pairs of images, with rows normalised to unit length."""
    rows = feature.flatten(1)
    return F.normalize(rows @ rows.T, dim=1)
