"""Angular distillation of raw features.

Liu et al.: Rethinking Knowledge Distillation with Raw Features for Semantic Segmentation, WACV 2024
(first as Normalized Feature Distillation, arXiv 2207.05256). What helps a student is the direction of the
teacher's features, not their magnitude, so both maps are normalised before they are compared.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from icsd.core.similarity import full_precision
from icsd.methods.base import Method, Taps, Terms
from icsd.methods.overhaul import connector

Normalise = Literal["layer", "pixel", "channel"]
DIMENSIONS: dict[Normalise, tuple[int, ...]] = {"layer": (1, 2, 3), "pixel": (1,), "channel": (2, 3)}
TINY = 1e-12  # smallest norm that a vector is divided by


class LAD(Method):
    """The student's feature maps match the direction of the teacher's.

    ``lad`` = Σ over ``stage4``, ``aspp`` and ``decoder`` of the mean of ||S/||S|| − T/||T||||² over all
    normalised vectors, where S is the student's map through a 1x1 convolution and batch normalisation.

    The authors' code is not public. Taps, connectors and weight are those of the AICSD authors'
    reimplementation, which takes one norm over the whole batch; here every image has its own, so that no
    image's loss depends on the others in the batch. Features are taken as tapped: ``stage4`` and ``decoder``
    before their ReLU as there, ``aspp`` after it. All positions count.

    Published weight (that reimplementation): 10. Its one norm is about sqrt(B) times an image's, so its sum
    over the batch is already a mean; it divides this and its cross-entropy by B, so the weight stays 10 here.

    Args:
        student_channels: Width of every tap of the student.
        teacher_channels: Width of every tap of the teacher.
        normalise: What forms one vector. ``layer``: an image's whole map (the paper's LAD). ``pixel``: the
            channels of a position (PAD). ``channel``: the positions of a channel (CAD). Each is between 0
            and 4 per tap; no weights are published for the last two.
    """

    taps: tuple[str, ...] = ("stage4", "aspp", "decoder")
    terms: tuple[str, ...] = ("lad",)
    published: ClassVar[Mapping[str, float]] = MappingProxyType({"lad": 10.0})

    def __init__(
        self,
        *,
        student_channels: dict[str, int],
        teacher_channels: dict[str, int],
        normalise: Normalise = "layer",
    ) -> None:
        super().__init__()
        self.dimensions = DIMENSIONS[normalise]
        self.connectors = nn.ModuleDict(
            {tap: connector(student_channels[tap], teacher_channels[tap]) for tap in self.taps}
        )

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """``lad``: the sum over the taps; ``labels`` are not used."""
        distances = []
        for tap in self.taps:
            with full_precision(student[tap], teacher[tap].detach()) as (s, t):
                distances.append(angular_distance(self.connectors[tap](s), t, dimensions=self.dimensions))
        return {"lad": torch.stack(distances).sum()}


def angular_distance(
    student: Float[Tensor, "B C h w"], teacher: Float[Tensor, "B C h w"], *, dimensions: tuple[int, ...]
) -> Float[Tensor, ""]:
    """The mean squared distance between the maps' vectors along ``dimensions``, normalised to unit length.

    It equals 2 − 2 cos of their angle. A zero vector stays zero.
    """
    distance: Tensor = _AngularDistance.apply(student, teacher, dimensions)
    return distance


class _AngularDistance(torch.autograd.Function):
    """With u = S/|S|, v = T/|T| and d = u − v, the gradient of |d|² is 2/|S| (d − (u · d) u)."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, dimensions: tuple[int, ...]) -> Tensor:  # noqa: ANN401
        norms = [torch.linalg.vector_norm(x, dim=dimensions, keepdim=True) for x in (student, teacher)]
        inverse, of_teacher = (1 / norm.clamp(min=TINY) for norm in norms)
        difference = (student * inverse).addcmul_(teacher, of_teacher, value=-1)
        distances: Tensor = torch.linalg.vector_norm(difference, dim=dimensions, keepdim=True).square_()
        # u · d, where u and v have length 1, or 0 for a zero vector.
        along = (distances + (norms[0] * inverse).square_() - (norms[1] * of_teacher).square_()) / 2
        along.masked_fill_(norms[0] < TINY, 0)  # such a vector is divided by a constant
        ctx.save_for_backward(student, difference, inverse, along)
        return distances.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        student, difference, inverse, along = ctx.saved_tensors
        scale = inverse * (grad * 2 / along.numel())
        return (difference * scale).addcmul_(student, scale * along * inverse, value=-1), None, None
