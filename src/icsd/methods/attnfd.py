"""Attention-guided feature distillation.

Mansourian, Jalali, Ahmadi, Kasaei: Attention-guided Feature Distillation for Semantic Segmentation, arXiv
2403.05451. Feature maps are compared after convolutional block attention modules (CBAM; Woo, Park, Lee,
Kweon, ECCV 2018, arXiv 1807.06521) have weighted their channels and positions.
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
REDUCTION = 16  # of the channels inside the channel attention, as in CBAM


class AttnFD(Method):
    """The student's attention-weighted feature maps point where the teacher's point.

    ``attnfd`` = Σ over ``stage4``, ``aspp`` and ``decoder``, each after its ReLU, of the mean over images of
    ||A_S/||A_S|| − A_T/||A_T||||², where A_S = connector(CBAM(S)), A_T = CBAM(T), the norms are an image's,
    and the connector is a 1x1 convolution and batch normalisation.

    The teacher's attention: the paper has it trained with the teacher and then frozen. In the released code
    nothing ever trains it: it keeps the random weights it is built with. Asked about it, the authors name a
    third way, attention from pooled values without weights. A teacher trained without attention leaves the
    last two; ``frozen`` is the released one. Its batch normalisation uses the batch's statistics, as there.

    In the released code the norms are of the whole batch's tensor, the connectors learn in the first epoch
    alone, and the linear layers of the student's attention not at all. Here every image has its own norm, and
    everything on the student's side learns. The last stage of a MobileNetV2, which has no ReLU of its own,
    gets one here.

    Published weight: 2. As in ``LAD``, that code divides this sum and its cross-entropy by B: 2 here too.

    Args:
        student_channels: Width of every tap of the student.
        teacher_channels: Likewise of the teacher.
        teacher_attention: ``frozen``: a CBAM with random weights that never change. ``pooled``: CBAM's pooled
            values themselves, without its layers.
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
    """A convolutional block attention module: a map, its channels weighted and then its positions.

    A channel's weight comes from its mean and its maximum over positions, through one perceptron for both; a
    position's from its mean and its maximum over channels, through a 7x7 convolution and (as in its authors'
    code, not in its paper) batch normalisation.

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
    """CBAM without parameters: the sums of mean and maximum are the weights, before their sigmoid."""

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """The weighted map."""
        return attend(features, channel=lambda x: x, spatial=lambda x: x.sum(dim=1, keepdim=True))


def attend(
    features: Float[Tensor, "B C h w"],
    *,
    channel: Callable[[Tensor], Tensor],
    spatial: Callable[[Tensor], Tensor],
) -> Float[Tensor, "B C h w"]:
    """The map times its channels' weights, and that times its positions' weights.

    Args:
        features: The map.
        channel: [2 B, C], the means and the maxima over positions, to [2 B, C]; both halves are added.
        spatial: [B, 2, h, w], the maximum and the mean over channels, to [B, 1, h, w].
    """
    means, maxima = channel(torch.cat(_MeanAndMaximum.apply(features, (2, 3)))[:, :, 0, 0]).chunk(2)
    weighted = features * (means + maxima).sigmoid()[:, :, None, None]
    mean, maximum = _MeanAndMaximum.apply(weighted, (1,))
    return weighted * spatial(torch.cat([maximum, mean], dim=1)).sigmoid()


class _MeanAndMaximum(torch.autograd.Function):
    """Both over dimensions that stay; the gradient of the maximum goes to equal values in equal parts."""

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
