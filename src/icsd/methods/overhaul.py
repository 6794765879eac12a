"""The overhaul of feature distillation.

Heo, Kim, Yun, Park, Kwak, Choi: A Comprehensive Overhaul of Feature Distillation, ICCV 2019, arXiv
1904.01866. Maps are compared before their ReLU, and only where the difference would pass through it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from icsd.core.pieces import summed
from icsd.core.similarity import full_precision
from icsd.methods.base import Method, Taps, Terms

DIVISORS = {"stage1": 8, "stage2": 4, "stage3": 2, "stage4": 1, "aspp": 1, "decoder": 16}


class Overhaul(Method):
    """Six maps of the student match the teacher's, except where a ReLU would hide the difference.

    ``overhaul`` = mean over images of Σ_tap 1/d · Σ over channels and positions of p, where with
    T' = max(T, m_c) (the margin ReLU) p is 0 if S <= T' <= 0 and (S − T')² otherwise, S is the student's map
    through a 1x1 convolution and batch normalisation, and d is 8, 4, 2, 1 (the stages), 1 (``aspp``) and 16
    (``decoder``).

    m_c, the margin of a channel, is the expected value of the teacher's negative responses in it. Here it is
    measured on the batch, or on one part of a batch that is split to fit into memory (0 if there are none).
    The released code derives it from the scale and shift of the last batch normalisation, assuming a
    Gaussian; but a residual stage ends in the sum of that normalisation and its shortcut, whose distribution
    those two numbers do not determine.

    ``aspp`` is tapped after its ReLU, so its margin is 0, and p is 0 where T = 0 and S <= 0. The released
    code takes it before the ReLU. For a MobileNetV2 that code takes inner maps of three blocks; the taps here
    are block outputs. It trains only the connectors for one epoch; here they train with the student.

    Published weight: 1e-5, on a sum divided by the batch size of 12, with a cross-entropy that the code
    divides by 12 once more: 1.2e-4 with a plain mean. (The code's steps are therefore 12 times smaller at
    the same learning rate; 1.2e-4 may need a lower rate or gradient clipping.) It is for sums over the maps
    of 513x513 images and networks of full width: n times fewer values need n times the weight for the same
    strength.

    Args:
        student_channels: Width of every tap of the student.
        teacher_channels: Width of every tap of the teacher.
    """

    taps: tuple[str, ...] = tuple(DIVISORS)
    terms: tuple[str, ...] = ("overhaul",)
    across_images = True
    published: ClassVar[Mapping[str, float]] = MappingProxyType({"overhaul": 1.2e-4})

    def __init__(self, *, student_channels: dict[str, int], teacher_channels: dict[str, int]) -> None:
        super().__init__()
        self.connectors = nn.ModuleDict(
            {tap: connector(student_channels[tap], teacher_channels[tap]) for tap in DIVISORS}
        )

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """``overhaul``: the weighted sum over the taps; ``labels`` are not used."""
        distances = []
        for tap, divisor in DIVISORS.items():
            with full_precision(student[tap], teacher[tap].detach()) as (s, t):
                target = torch.maximum(t, negative_mean(t))
                distances.append(partial_l2(self.connectors[tap](s), target) / divisor)
        return {"overhaul": torch.stack(distances).sum()}


def connector(inputs: int, outputs: int) -> nn.Sequential:
    """Map the student's channels to the teacher's by a bias-free 1x1 convolution and batch normalisation."""
    conv = nn.Conv2d(inputs, outputs, kernel_size=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def negative_mean(features: Float[Tensor, "B C h w"]) -> Float[Tensor, "1 C 1 1"]:
    """The mean of each channel's negative values over images and positions; 0 if there are none."""
    negative = features.clamp(max=0)
    total, count = (summed(x.sum(dim=(0, 2, 3), keepdim=True)) for x in (negative, negative.sign()))
    return -total / count.clamp(max=-1)


def partial_l2(student: Float[Tensor, "B C h w"], target: Float[Tensor, "B C h w"]) -> Float[Tensor, ""]:
    """The summed squared difference per image, except where student <= target <= 0."""
    total: Tensor = _PartialSquares.apply(student, target)
    return total / student.shape[0]


class _PartialSquares(torch.autograd.Function):
    """Σ d² with d = S − T, or max(S − T, 0) where T <= 0; its gradient is 2 d."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, target: Tensor) -> Tensor:  # noqa: ANN401
        difference = student - target
        below = difference.clamp(max=0).mul_(target.sign().clamp_(min=0))  # 0 where T <= 0
        difference.clamp_(min=0).add_(below)
        ctx.save_for_backward(difference)
        norm: Tensor = torch.linalg.vector_norm(difference)
        return norm.square()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        (difference,) = ctx.saved_tensors
        return difference * (2 * grad), None
