"""Masked generative distillation.

Yang, Li, Shao, Shi, Yuan, Yuan: Masked Generative Distillation, ECCV 2022, arXiv 2205.01529. The student has
to generate the teacher's whole feature map from a few of its own positions.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float, Integer
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from icsd.core.pieces import common_generator, own_part
from icsd.core.similarity import full_precision
from icsd.methods.base import Method, Taps, Terms

Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class MGD(Method):
    """A generator predicts the teacher's last stage from randomly masked positions of the student's.

    ``mgd`` = 1/B · Σ over images, channels and positions of (G(M · align(relu(S))) − relu(T))², where M is 0
    with probability ``mask_ratio``, drawn again in every step for every position and shared by the channels,
    and G is a 3x3 convolution, ReLU, 3x3 convolution at the teacher's width (75 million weights for 2048
    channels, which are trained but are not part of the student). ``align`` is a 1x1 convolution with bias,
    as released, and absent if the widths agree.

    The tap is ``stage4`` after a ReLU on both sides, since the networks of the released code return their
    stages after it. A MobileNetV2 has no ReLU there, so the negative values of its map get no supervision.

    The paper's λ for segmentation, 0.75, is the share of positions that is masked out, as in the released
    code.

    Published weight: 2e-5 for this sum, with feature maps of 2048 channels at 64x64. As it is not a mean over
    channels and positions, n times fewer of them need n times the weight for the same strength. The released
    recipe adds channel-wise distillation of the logits (``CWD``, weight 3).

    Args:
        student_channels: Width of every tap of the student.
        teacher_channels: Width of every tap of the teacher.
        mask_ratio: Share of positions that is masked out.
    """

    taps: tuple[str, ...] = ("stage4",)
    terms: tuple[str, ...] = ("mgd",)
    draws: ClassVar[bool] = True
    published: ClassVar[Mapping[str, float]] = MappingProxyType({"mgd": 2e-5})

    def __init__(
        self, *, student_channels: dict[str, int], teacher_channels: dict[str, int], mask_ratio: Share = 0.75
    ) -> None:
        super().__init__()
        self.mask_ratio = mask_ratio
        ours, theirs = student_channels["stage4"], teacher_channels["stage4"]
        self.align = nn.Identity() if ours == theirs else nn.Conv2d(ours, theirs, kernel_size=1)
        self.generator = nn.Sequential(
            nn.Conv2d(theirs, theirs, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(theirs, theirs, kernel_size=3, padding=1),
        )

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """``mgd``: the summed squared error of the generated map per image; ``labels`` are not used."""
        with full_precision(student["stage4"], teacher["stage4"].detach()) as both:
            s, t = (F.relu(features) for features in both)
            generated = self.generator(self.align(s) * random_mask(t, ratio=self.mask_ratio))
            return {"mgd": F.mse_loss(generated, t, reduction="sum") / t.shape[0]}


def random_mask(features: Float[Tensor, "B C h w"], *, ratio: float) -> Bool[Tensor, "B 1 h w"]:
    """False with probability ``ratio``, for every position of every image."""
    batch, _, height, width = features.shape
    size, device = (1, height, width), features.device
    return own_part(
        lambda images: torch.rand(images, *size, device=device, generator=common_generator()) >= ratio, batch
    )
