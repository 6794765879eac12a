"""Structured knowledge distillation: its pair-wise part.

Liu, Chen, Liu, Qin, Luo, Wang: Structured Knowledge Distillation for Semantic Segmentation, CVPR 2019; Liu,
Shu, Wang, Shen: Structured Knowledge Distillation for Dense Prediction, TPAMI, arXiv 1903.04197.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from jaxtyping import Float, Integer
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from icsd.core.similarity import full_precision
from icsd.methods.base import Method, Taps, Terms

Tap = Literal["stage1", "stage2", "stage3", "stage4", "aspp", "decoder", "logits"]


class SKD(Method):
    """The student's similarities between all pairs of regions of an image match the teacher's.

    A map is max-pooled into N nodes, one per patch; A[i, j] is the cosine of the channel vectors of nodes i
    and j; the term is the mean over images of Σ (A_student − A_teacher)² / N².

    Of the paper's other two parts, the pixel-wise one is this project's term ``kd``. The holistic one, a
    discriminator between the networks' score maps, is left out: with its own optimiser and alternating
    updates it is another training procedure, not a loss term, and users of the authors' code report that it
    does not train stably (issue 22 there). Results under this name do not include it.

    Readings where the authors' code and CIRKD's (github.com/winycg/CIRKD) differ:

    - The patch is CIRKD's, 2 x 2, for which the weight is 10 (with 1 for KD). The authors pool half of the
      map's height and width into one node ("pool-scale 0.5": 16 on a 33 x 33 map, which gives 9 nodes), with
      weight 0.5 in their script.
    - Gradients pass through the norm of the vectors, as in CIRKD's; the authors' code treats it as constant.

    Both tap the output of the context module, which in PSPNet and DeepLabV3 is the classifier's input. A
    DeepLabV3+ has a decoder in between: ``aspp`` is its context module, and ``decoder``, at stride 4, has 16
    times as many positions. All positions count, including ignored ones, as published. Both codes normalise
    in the same way, so weights carry over.

    Args:
        tap: The map to compare. Each image has N² similarities, so use a larger patch at stride 4.
        patch: Side of the square that one node represents; patches at the far edges may be smaller.
    """

    taps: tuple[str, ...] = ("aspp",)
    terms: tuple[str, ...] = ("skd",)
    published: ClassVar[Mapping[str, float]] = MappingProxyType({"skd": 10.0, "kd": 1.0})
    left_out: ClassVar[str] = "adversarial (holistic) term"

    def __init__(self, *, tap: Tap = "aspp", patch: Annotated[int, Field(ge=1)] = 2) -> None:
        super().__init__()
        self.taps = (tap,)
        self.patch = patch

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """``skd``: the mean squared difference of the similarities, over images and pairs of nodes."""
        (tap,) = self.taps
        with full_precision(student[tap], teacher[tap].detach()) as (s, t):
            return {"skd": F.mse_loss(node_similarities(s, self.patch), node_similarities(t, self.patch))}


def node_similarities(features: Float[Tensor, "B K h w"], patch: int) -> Float[Tensor, "B N N"]:
    """The cosine of every pair of nodes, where a node is the channel-wise maximum of a patch.

    The similarities of a zero node are 0.
    """
    nodes = F.normalize(F.max_pool2d(features, patch, ceil_mode=True), dim=1).flatten(2)
    return nodes.transpose(1, 2) @ nodes
