"""Channel-wise distillation.

Shu, Liu, Gao, Yan, Shen: Channel-wise Knowledge Distillation for Dense Prediction, ICCV 2021, arXiv
2011.13256. Every channel becomes a distribution over the positions of an image, and the student's
distributions follow the teacher's.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from icsd.core.similarity import full_precision
from icsd.methods.base import Ignored, Method, Taps, Temperature, Terms, counted

Tap = Literal["logits", "stage4", "aspp", "decoder"]


class CWD(Method):
    """The student's channels are active at the same positions as the teacher's.

    ``cwd`` = τ² / (B K) · Σ over images and the teacher's channels of
    KL(softmax_hw(T_c / τ) || softmax_hw(S_c / τ)).

    On logits it is the closest relative of ICSD: the same softmax over positions, but each class is compared
    with the same class of the teacher, where ICSD compares the divergences of all pairs of classes.

    On features, a bias-free 1x1 convolution maps the student's channels to the teacher's if the widths
    differ, as in CIRKD. The authors' code always has one, followed by normalisation and ReLU. (A bias would
    add a constant per channel, which the softmax cancels.) Features are taken as tapped: ``stage4`` and
    ``decoder`` before their ReLU, ``aspp`` after it.

    The published weights carry over: 3 for logits at τ = 4, alone (CIRKD adds pixel-wise KD at weight 1); for
    features CIRKD uses 50, alongside the term on logits. As in its code, K is the number of the student's own
    channels at the tap, before the projection, while the sum is over the teacher's. The authors' code divides
    by the teacher's number: their 35 to 50 are 35 to 50 · K_S / K_T here.

    Args:
        student_channels: Width of every tap of the student.
        teacher_channels: Width of every tap of the teacher.
        tap: The map that is compared.
        temperature: τ; the factor τ² keeps the size of the gradient.
        ignored: Whether positions without a class count. They do as published; ``exclude`` removes them from
            the softmax, as in ICSD. An image without any valid position then counts as 0.
    """

    taps: tuple[str, ...] = ("logits",)
    terms: tuple[str, ...] = ("cwd",)
    published: ClassVar[Mapping[str, float]] = MappingProxyType({"cwd": 3.0})

    def __init__(
        self,
        *,
        student_channels: dict[str, int],
        teacher_channels: dict[str, int],
        tap: Tap = "logits",
        temperature: Temperature = 4.0,
        ignored: Ignored = "include",
    ) -> None:
        super().__init__()
        self.taps = (tap,)
        self.temperature = temperature
        self.ignored: Ignored = ignored
        ours, theirs = student_channels[tap], teacher_channels[tap]
        self.align = nn.Identity() if ours == theirs else nn.Conv2d(ours, theirs, kernel_size=1, bias=False)

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """``cwd``: see ``channel_kl``."""
        (tap,) = self.taps
        with full_precision(student[tap], teacher[tap].detach()) as (s, t):
            valid = counted(t, labels, self.ignored)
            mean = channel_kl(self.align(s), t, temperature=self.temperature, valid=valid)
            return {"cwd": mean * (t.shape[1] / s.shape[1])}


def channel_kl(
    student: Float[Tensor, "B C h w"],
    teacher: Float[Tensor, "B C h w"],
    *,
    temperature: float,
    valid: Bool[Tensor, "B h w"] | None = None,
) -> Float[Tensor, ""]:
    """τ² times the mean over images and channels of KL(p || q), p of the teacher's map, q of the student's.

    Each is softmax(map / τ) over the valid positions of its image; if there are none, the divergence is 0.
    """
    outside = None if valid is None else ~valid.flatten(1)[:, None]
    log_s, log_t = (_log_softmax(maps.flatten(2) / temperature, outside) for maps in (student, teacher))
    divergence = F.kl_div(log_s, log_t, reduction="sum", log_target=True)
    return temperature**2 * divergence / (teacher.shape[0] * teacher.shape[1])


def _log_softmax(
    scores: Float[Tensor, "B C n"], outside: Bool[Tensor, "B 1 n"] | None
) -> Float[Tensor, "B C n"]:
    if outside is None:
        return F.log_softmax(scores, dim=2)
    # Finite instead of −inf, or an image with no valid position would get NaN gradients. Ignored positions
    # get equal log-probabilities, which add nothing to the divergence.
    inside = scores.masked_fill(outside, torch.finfo(scores.dtype).min)
    return F.log_softmax(inside, dim=2).masked_fill(outside, 0)
