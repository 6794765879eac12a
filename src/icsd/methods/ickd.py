"""Inter-channel correlation distillation.

Liu, Huang, Lin, Xie, Wang, Chang, Liang: Exploring Inter-Channel Correlation for Diversity-Preserved
Knowledge Distillation, ICCV 2021.
"""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Integer
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from icsd.core.similarity import full_precision
from icsd.methods.base import Method, Taps, Terms

Tap = Literal["logits", "stage1", "stage2", "stage3", "stage4", "aspp", "decoder"]
Grid = Annotated[int, Field(ge=1)]


class ICKD(Method):
    """The student's channels correlate with one another as the teacher's do.

    With F the C channels of an image as rows of positions, G = F Fᵀ (CxC), and every row of G divided by
    its L2 norm (G'): ``ickd = (1/(C·B)) Σ (G'_teacher − G'_student)²``, summed over a row and averaged over
    rows and images, as in the authors' code. All positions count; labels are not used.

    There are two forms. On the logits, a channel is a class; the AICSD paper compares with this form (its
    code has no adapter). On a feature map, the original form, a 1x1 convolution and batch normalisation map
    the student's features to the teacher's width.

    Published weights: none is known for segmentation, nor the one AICSD's tables used. For features, the
    authors' CIFAR-100 command has 2.5, with and without KD.

    Args:
        student_channels: Width of every tap of the student.
        teacher_channels: Width of every tap of the teacher.
        tap: The map that is compared; ``logits`` has no adapter.
        grid: The original's form for segmentation: a map is cut into grid x grid patches with one matrix each
            (grid² · C² values per image), and the loss is the mean over them (a reading, as the
            training code is not published). If ``grid`` does not divide a height or width, the first patches
            are one position longer; if ``grid`` exceeds it, patches are one position long.
    """

    taps: tuple[str, ...] = ("logits",)
    terms: tuple[str, ...] = ("ickd",)

    def __init__(
        self,
        *,
        student_channels: dict[str, int],
        teacher_channels: dict[str, int],
        tap: Tap = "logits",
        grid: Grid = 1,
    ) -> None:
        super().__init__()
        self.taps = (tap,)
        self.grid = grid
        self.embed: nn.Module = nn.Identity()
        if tap != "logits":
            width = teacher_channels[tap]
            self.embed = nn.Sequential(
                nn.Conv2d(student_channels[tap], width, kernel_size=1, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """``ickd``: the squared distance between rows of the matrices, averaged over rows."""
        (tap,) = self.taps
        with full_precision(student[tap], teacher[tap].detach()) as (s, t):
            ours, theirs = (patch_correlation(feature, self.grid) for feature in (self.embed(s), t))
            return {"ickd": (ours - theirs).square().sum(dim=-1).mean()}


def patch_correlation(feature: Float[Tensor, "B C h w"], grid: int) -> Float[Tensor, "B P C C"]:
    """Inner products of all pairs of channels in every patch, with rows normalised to unit length."""
    products = [maps @ maps.transpose(2, 3) for maps in patches(feature, grid)]
    return F.normalize(torch.cat(products, dim=1), dim=3)


def patches(feature: Float[Tensor, "B C h w"], grid: int) -> list[Float[Tensor, "B _ C _"]]:
    """Cut a map into up to grid x grid patches, grouped by size: [B, patches, C, positions] each."""
    height, width = feature.shape[-2:]
    return [
        _cut(feature[:, :, rows, columns], down, across)
        for rows, down in _bands(height, grid)
        for columns, across in _bands(width, grid)
    ]


def _cut(feature: Float[Tensor, "B C h w"], down: int, across: int) -> Float[Tensor, "B P C N"]:
    """Cut a map into down x across patches of equal size."""
    batch, channels, height, width = feature.shape
    cells = feature.reshape(batch, channels, down, height // down, across, width // across)
    return cells.permute(0, 2, 4, 1, 3, 5).flatten(4).flatten(1, 2)


def _bands(size: int, grid: int) -> list[tuple[slice, int]]:
    """Split an axis into a band of longer and a band of shorter pieces: (slice, number of pieces) each."""
    pieces = min(grid, size)
    shorter, num_longer = divmod(size, pieces)
    edge = num_longer * (shorter + 1)
    bands = [(slice(0, edge), num_longer), (slice(edge, size), pieces - num_longer)]
    return [(where, number) for where, number in bands if number]
