"""Attention transfer.

Zagoruyko, Komodakis: Paying More Attention to Attention: Improving the Performance of Convolutional Neural
Networks via Attention Transfer, ICLR 2017, arXiv 1612.03928.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

from icsd.core.similarity import full_precision
from icsd.methods.base import Method, Taps, Terms

Tap = Literal["stage4", "aspp", "decoder"]


class AttentionTransfer(Method):
    """The student looks where the teacher looks: their maps of squared activation agree.

    With A = mean over channels of F², flattened over all h·w positions of an image and divided by its L2
    norm: ``at = mean over images and positions of (A_student − A_teacher)²``. No labels, no adapter.

    Reading: the mean is that of CIRKD and RepDistiller; the paper takes the norm of the difference. A
    unit vector's entries shrink as positions are added, so this mean falls with 1/(h·w), and a weight is
    specific to a map size. CIRKD's 10000 was used (alongside KD at 1) on the feature map before the
    classifier, with 64x128 positions; on a map of h·w positions, 10000 · h·w / 8192 is equivalent.

    This is also the most likely meaning of the baseline "AD" in the AICSD paper, which does not define it:
    attention is the only such loss in its authors' code, on the decoder's map before its ReLU (tap
    ``decoder`` here) and at times on the ASPP's, and their previous paper used it with weight 100. Class
    attention maps and affinity distillation (He et al., CVPR 2019) are the alternatives. Their code differs
    in two ways: it normalises each column of the map separately, which makes the loss larger by about the
    map's width, and it divides cross-entropy by the batch size (6), so that 100 acts like 600.

    Args:
        tap: The feature map: the backbone's last (before its ReLU), the ASPP's output (after its ReLU),
            or the decoder's last (before its ReLU).
    """

    taps: tuple[str, ...] = ("decoder",)
    terms: tuple[str, ...] = ("at",)
    published: ClassVar[Mapping[str, float]] = MappingProxyType({"at": 10000.0, "kd": 1.0})

    def __init__(self, *, tap: Tap = "decoder") -> None:
        super().__init__()
        self.taps = (tap,)

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """``at``: the mean squared difference of the attention maps."""
        (tap,) = self.taps
        with full_precision(student[tap], teacher[tap].detach()) as (s, t):
            return {"at": F.mse_loss(attention(s), attention(t))}


def attention(feature: Float[Tensor, "B C h w"]) -> Float[Tensor, "B N"]:
    """Attention map: the mean square over channels, normalised to a unit vector over all positions."""
    return F.normalize(feature.square().mean(dim=1).flatten(1), dim=1)
