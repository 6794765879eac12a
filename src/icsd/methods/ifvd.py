"""Intra-class feature variation distillation.

Wang, Zhou, Jiang, Bai, Xu: Intra-class Feature Variation Distillation for Semantic Segmentation, ECCV 2020.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional as F

from icsd.core.pieces import divisor
from icsd.core.similarity import full_precision
from icsd.methods.base import Method, Taps, Terms

Tap = Literal["stage1", "stage2", "stage3", "stage4", "aspp", "decoder", "logits"]


class IFVD(Method):
    """The similarity of a pixel's feature to the centre of its class matches the teacher's.

    Per image, the centre of a class is the mean feature of its pixels, by ground truth; a pixel's similarity
    is the cosine of its feature and its class's centre; the term is the mean over pixels of
    (similarity_student − similarity_teacher)².

    The paper's pixel-wise part is this project's term ``kd``. Its adversarial part is left out: a
    discriminator with its own optimiser and alternating updates is another training procedure, not a loss
    term. Results under this name do not include it.

    Readings:

    - Weights as in CIRKD's code base (github.com/winycg/CIRKD): 20, with 1 for KD, with the same
      normalisation. The authors' 200 goes with 10 for a KD term that is also divided by C.
    - The tap is the output of the context module, in the authors' PSPNet (and CIRKD's DeepLabV3) also the
      classifier's input, at stride 8. A DeepLabV3+ has a decoder in between: ``aspp`` (stride 16) is its
      context module, ``decoder`` (stride 4, before the ReLU) its classifier's input.
    - Ignored pixels belong to no centre and do not count. The authors compare each of them with itself, which
      adds 0 to the sum and 1 to the number of pixels: their loss is this one times the share of labelled
      pixels.
    - Labels are resized to the map by nearest neighbour, with aligned corners.

    Args:
        num_classes: C.
        tap: The map whose features are compared.
    """

    taps: tuple[str, ...] = ("aspp",)
    terms: tuple[str, ...] = ("ifvd",)
    published: ClassVar[Mapping[str, float]] = MappingProxyType({"ifvd": 20.0, "kd": 1.0})
    left_out: ClassVar[str] = "adversarial term"

    def __init__(self, *, num_classes: int, tap: Tap = "aspp") -> None:
        super().__init__()
        self.taps = (tap,)
        self.num_classes = num_classes

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """``ifvd``: the mean squared difference of the similarities; 0 if no pixel has a class."""
        (tap,) = self.taps
        with full_precision(student[tap], teacher[tap].detach()) as (s, t):
            size = (s.shape[-2], s.shape[-1])
            members = class_members(labels, size, num_classes=self.num_classes)
            number = divisor(lambda x: class_members(x, size, num_classes=self.num_classes).sum(), labels)
            # Positions without a class add 0 and are not counted.
            difference = centre_similarities(s, members) - centre_similarities(t, members)
            return {"ifvd": difference.square().sum() / number}


def centre_similarities(
    features: Float[Tensor, "B K h w"], members: Bool[Tensor, "B C P"]
) -> Float[Tensor, "B P"]:
    """Cosine of each position's feature and the mean feature of its class in its image; 0 without a class."""
    flat, chosen = features.flatten(2), members.to(features.dtype)
    sums = flat @ chosen.transpose(1, 2)  # same direction as the means, which is all a cosine needs
    return F.cosine_similarity(flat, sums @ chosen, dim=1)


def class_members(
    labels: Integer[Tensor, "B H W"], size: tuple[int, int], *, num_classes: int
) -> Bool[Tensor, "B C P"]:
    """Mask of the P = h · w positions of a map of ``size`` that belong to each class.

    Ignored positions belong to none. The grid is that of ``valid_positions``.
    """
    rows, columns = (
        (2 * torch.arange(n, device=labels.device) * (N - 1) + max(n - 1, 1)) // (2 * max(n - 1, 1))
        for n, N in zip(size, labels.shape[-2:], strict=True)
    )
    nearest = labels[:, rows[:, None], columns].flatten(1)
    return nearest[:, None] == torch.arange(num_classes, device=labels.device)[:, None]
