"""Attention-guided feature distillation.

Mansourian, Jalali, Ahmadi, Kasaei: Attention-guided Feature Distillation for Semantic Segmentation, arXiv
2403.05451. Feature maps are compared after a convolutional block attention module (CBAM; Woo, Park, Lee,
Kweon, ECCV 2018, arXiv 1807.06521) has weighted their channels and positions.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from icsd.core.similarity import full_precision
from icsd.methods.base import Method, Taps, Terms
from icsd.methods.lad import DIMENSIONS, angular_distance
from icsd.methods.overhaul import connector

TeacherAttention = Literal["frozen", "pooled"]
REDUCTION = 16  # channel reduction inside the channel attention, as in CBAM


class AttnFD(Method):
    """The student's attention-weighted feature maps match the direction of the teacher's.

    ``attnfd`` = Σ over ``stage4``, ``aspp`` and ``decoder``, each after its ReLU, of the mean over images of
    ||A_S/||A_S|| − A_T/||A_T||||², where A_S = connector(CBAM(S)), A_T = CBAM(T), norms are taken per image,
    and the connector is a 1x1 convolution and batch normalisation.

    The teacher's attention: in the paper it is trained with the teacher and then frozen. In the released code
    it is never trained and keeps its random initial weights. When asked about it, the authors suggested a
    third option, attention from pooled values without weights. Only the last two work with a teacher that was
    trained without attention; ``frozen`` is the released one. Its batch normalisation uses the batch's
    statistics, as in that code.

    In the released code the norms are those of the whole batch, the connectors train in the first epoch only,
    and the linear layers of the student's attention never train. Here norms are per image, and everything on
    the student's side trains. The last stage of a MobileNetV2 has no ReLU of its own and gets one here.

    Published weight: 2. As with ``LAD``, that code divides this sum and its cross-entropy by B: 2 here too.

    Args:
        student_channels: Width of every tap of the student.
        teacher_channels: Width of every tap of the teacher.
        teacher_attention: ``frozen``: a CBAM with random weights that never change. ``pooled``: CBAM's pooled
            values alone, without its layers.
    """

    taps: tuple[str, ...] = ("stage4", "aspp", "decoder")
    terms: tuple[str, ...] = ("attnfd",)
    published: ClassVar[Mapping[str, float]] = MappingProxyType({"attnfd": 2.0})

    def __init__(
        self,
        *,
        student_channels: dict[str, int],
        teacher_channels: dict[str, int],
        teacher_attention: TeacherAttention = "frozen",
    ) -> None:
        super().__init__()
        ours, theirs = student_channels, teacher_channels
        self.attention = nn.ModuleDict({tap: CBAM(ours[tap]) for tap in self.taps})
        self.connectors = nn.ModuleDict({tap: connector(ours[tap], theirs[tap]) for tap in self.taps})
        self.teacher_attention = nn.ModuleDict(
            {tap: CBAM(theirs[tap]) if teacher_attention == "frozen" else PooledCBAM() for tap in self.taps}
        ).requires_grad_(False)

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """``attnfd``: the sum over the taps; ``labels`` play no part."""
        distances = []
        for tap in self.taps:
            with full_precision(student[tap], teacher[tap].detach()) as both:
                s, t = (F.relu(features) for features in both)
                ours = self.connectors[tap](self.attention[tap](s))
                theirs = self.teacher_attention[tap](t)
                distances.append(angular_distance(ours, theirs, dimensions=DIMENSIONS["layer"]))
        return {"attnfd": torch.stack(distances).sum()}


class CBAM(nn.Module):
    """A convolutional block attention module: weights the channels of a map, then its positions.

    A channel's weight comes from its mean and maximum over positions, through a shared perceptron; a
    position's weight from its mean and maximum over channels, through a 7x7 convolution and (as in the CBAM
    authors' code, not in their paper) batch normalisation.

    Args:
        channels: Width of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // REDUCTION)
        self.channel = nn.Sequential(nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels))
        self.spatial = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3, bias=False), nn.BatchNorm2d(1))

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """The weighted map."""
        return attend(features, channel=self.channel, spatial=self.spatial)


class PooledCBAM(nn.Module):
    """CBAM without parameters: a weight is the sigmoid of the sum of mean and maximum."""

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """The weighted map."""
        return attend(features, channel=lambda x: x, spatial=lambda x: x.sum(dim=1, keepdim=True))


def attend(
    features: Float[Tensor, "B C h w"],
    *,
    channel: Callable[[Tensor], Tensor],
    spatial: Callable[[Tensor], Tensor],
) -> Float[Tensor, "B C h w"]:
    """Multiply a map by its channels' weights, and the result by its positions' weights.

    Args:
        features: The map.
        channel: Maps means and maxima over positions, [2B, C], to [2B, C]; the two halves are added.
        spatial: Maps the maximum and mean over channels, [B, 2, h, w], to [B, 1, h, w].
    """
    means, maxima = channel(torch.cat(_MeanAndMaximum.apply(features, (2, 3)))[:, :, 0, 0]).chunk(2)
    weighted = features * (means + maxima).sigmoid()[:, :, None, None]
    mean, maximum = _MeanAndMaximum.apply(weighted, (1,))
    return weighted * spatial(torch.cat([maximum, mean], dim=1)).sigmoid()


class _MeanAndMaximum(torch.autograd.Function):
    """Mean and maximum with ``keepdim``; tied maxima share the gradient equally."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, dimensions: tuple[int, ...]) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        mean, maximum = (pool(features, dim=dimensions, keepdim=True) for pool in (torch.mean, torch.amax))
        ctx.save_for_backward(features, maximum)
        ctx.dimensions = dimensions
        return mean, maximum

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_mean: Tensor, of_maximum: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        features, maximum = ctx.saved_tensors
        largest = (features == maximum).to(features.dtype)
        share = of_maximum / largest.sum(dim=ctx.dimensions, keepdim=True)
        number = features.numel() // maximum.numel()
        return torch.addcmul(of_mean / number, largest, share), None
