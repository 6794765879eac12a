"""Cross-image relational knowledge distillation.

Yang, Zhou, An, Jiang, Xu, Zhang: Cross-Image Relational Knowledge Distillation for Semantic Segmentation,
CVPR 2022, arXiv 2204.06986.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int64, Integer
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from icsd.core.pieces import common_generator, divisor, gathered
from icsd.core.similarity import full_precision
from icsd.core.similarity_divergence import KeyDivergence, PairDivergence
from icsd.methods.base import Method, Taps, Temperature, Terms
from icsd.methods.ifvd import class_members

Tap = Literal["stage1", "stage2", "stage3", "stage4", "aspp", "decoder", "logits"]
Positive = Annotated[int, Field(ge=1)]


class CIRKD(Method):
    """The student's similarities across images follow the teacher's: in the batch, and to what came before.

    All features are L2-normalised over channels, and every similarity is divided by τ.

    - ``cirkd_batch``: for every ordered pair of images of the batch (an image with itself included) and every
      position of the first, the softmax of its similarities to all positions of the second;
      KL(teacher || student), mean over pairs and positions. All positions count, as published.
    - ``cirkd_pixel``: for every labelled position, the softmax of its similarities to anchors: teacher
      features of single pixels of former images, as many of every class, drawn anew in every forward. The
      student's features come to the teacher's width through a projector: 1x1 convolution, BN, ReLU, 1x1
      convolution. KL(teacher || student), mean over labelled positions.
    - ``cirkd_region``: the same with anchors that stand for regions: the mean feature of a class in an image.

    The anchors live in one ring per class, in buffers, so that an interrupted run goes on exactly. Training
    forwards fill them, before they draw, with the batch's own teacher features: one region per image and
    class, and up to ``pixels_stored`` random pixels of it. They are kept in half precision:
    C · (``pixel_queue`` + ``region_queue``) · channels · 2 bytes, 237 MB for 21 classes and 256 channels, in
    checkpoints too.

    Readings, where the paper is silent or its code (github.com/winycg/CIRKD) does something else:

    - The queues start empty, and only what was filled is drawn; the code starts from random unit vectors, so
      that its first anchors are noise. With no anchor at all, the two terms are 0.
    - The code enqueues, for a class with n pixels, some of the image's first n positions, whatever their
      class; here they are pixels of the class, as the paper says.
    - As in the code, the features of all processes are gathered: for the pairs of images and for the rings,
      which are the same in every process. Where a batch is split to fit into memory, a part is compared with
      the images of the same part in all processes.
    - Their tap, "after ASPP", is the input of DeepLabV3's classifier, at stride 8. A DeepLabV3+ has a decoder
      in between, whose map at stride 4 has 16 times as many positions as ``aspp``.

    The code's normalisations are these: weights carry over. For VOC it sets 0.01 instead of 0.1 for the two
    terms with anchors.

    Args:
        student_channels: The width of every tap of the student.
        teacher_channels: Likewise of the teacher.
        num_classes: C.
        tap: The map whose features are compared.
        temperature: τ.
        pool: Side of the squares that are averaged before ``cirkd_batch``, whose memory grows with the square
            of batch size x positions; 1 for none, as published.
        pixel_queue: Length of a class's ring of pixels.
        region_queue: Length of a class's ring of regions.
        pixels_stored: Pixels at most that an image leaves in the ring of a class.
        pixels_sampled: Anchors of ``cirkd_pixel``, over all classes; every class gives an equal share.
        regions_sampled: Anchors of ``cirkd_region``, likewise.
    """

    taps: tuple[str, ...] = ("aspp",)
    terms: tuple[str, ...] = ("cirkd_batch", "cirkd_pixel", "cirkd_region")
    draws: ClassVar[bool] = True
    across_images = True
    published: ClassVar[Mapping[str, float]] = MappingProxyType(
        {"cirkd_batch": 1.0, "cirkd_pixel": 0.1, "cirkd_region": 0.1, "kd": 1.0}
    )

    pixels: Tensor
    pixels_seen: Tensor
    regions: Tensor
    regions_seen: Tensor

    def __init__(
        self,
        *,
        student_channels: dict[str, int],
        teacher_channels: dict[str, int],
        num_classes: int,
        tap: Tap = "aspp",
        temperature: Temperature = 0.1,
        pool: Positive = 1,
        pixel_queue: Positive = 20000,
        region_queue: Positive = 2000,
        pixels_stored: Positive = 16,
        pixels_sampled: Positive = 4096,
        regions_sampled: Positive = 1024,
    ) -> None:
        super().__init__()
        self.taps = (tap,)
        self.num_classes = num_classes
        self.temperature = temperature
        self.pool = pool
        self.pixels_stored = pixels_stored
        # The code's shares: at least one anchor for every class.
        self.pixel_share = pixels_sampled // num_classes + 1
        self.region_share = regions_sampled // num_classes + 1
        width = teacher_channels[tap]
        self.projector = nn.Sequential(
            nn.Conv2d(student_channels[tap], width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 1, bias=False),
        )
        for name, length in (("pixels", pixel_queue), ("regions", region_queue)):
            self.register_buffer(name, torch.zeros(num_classes, length, width, dtype=torch.float16))
            self.register_buffer(f"{name}_seen", torch.zeros(num_classes, dtype=torch.int64))

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """``cirkd_batch``, ``cirkd_pixel`` and ``cirkd_region``; see the class."""
        (tap,) = self.taps
        with full_precision(student[tap], teacher[tap].detach()) as (s, t):
            size = (s.shape[-2], s.shape[-1])
            members = class_members(labels, size, num_classes=self.num_classes)
            valid = members.any(dim=1)
            number = divisor(
                lambda x: (
                    valid if x is labels else class_members(x, size, num_classes=self.num_classes).any(dim=1)
                ).sum(),
                labels,
            )
            ours, theirs = (F.normalize(x, dim=1).flatten(2) for x in (self.projector(s), t))
            if self.training:
                self._enqueue(gathered(theirs), gathered(members))
            pixels, pixels_known = draw(self.pixels, self.pixels_seen, self.pixel_share)
            regions, regions_known = draw(self.regions, self.regions_seen, self.region_share)
            tau = self.temperature
            return {
                "cirkd_batch": batch_divergence(
                    gathered(pooled(s, self.pool)), gathered(pooled(t, self.pool)), temperature=tau
                ),
                "cirkd_pixel": anchor_divergence(
                    ours, theirs, pixels, pixels_known, valid, number=number, temperature=tau
                ),
                "cirkd_region": anchor_divergence(
                    ours, theirs, regions, regions_known, valid, number=number, temperature=tau
                ),
            }

    def _enqueue(self, features: Float[Tensor, "B D P"], members: Bool[Tensor, "B C P"]) -> None:
        sums = members.to(features.dtype) @ features.transpose(1, 2)
        regions = F.normalize(sums, dim=2).transpose(0, 1)
        append(self.regions, self.regions_seen, regions, members.any(dim=2).transpose(0, 1))
        lots, chosen = lottery(members, self.pixels_stored)
        pixels = rows_of(features.transpose(1, 2), chosen.flatten(1)).view(*chosen.shape, -1)
        pixels = pixels.transpose(0, 1).flatten(1, 2)
        append(self.pixels, self.pixels_seen, pixels, lots.transpose(0, 1).flatten(1))


def batch_divergence(
    student: Float[Tensor, "B K h w"], teacher: Float[Tensor, "B L h w"], *, temperature: float
) -> Float[Tensor, ""]:
    """Mean KL(teacher || student) of a position's similarities to an image, over positions and images."""
    ours, theirs = (
        F.normalize(x, dim=1).flatten(2).transpose(1, 2).flatten(0, 1) for x in (student, teacher)
    )
    images = student.shape[0]
    divergence: Tensor = PairDivergence.apply(ours, theirs, images, temperature)
    return divergence / (images * len(ours))


def pooled(features: Float[Tensor, "B K h w"], side: int) -> Float[Tensor, "B K _ _"]:
    """Means over squares of so many positions a side."""
    return features if side == 1 else F.avg_pool2d(features, side, ceil_mode=True)


def anchor_divergence(
    student: Float[Tensor, "B D P"],
    teacher: Float[Tensor, "B D P"],
    anchors: Float[Tensor, "A D"],
    known: Bool[Tensor, "A"],
    valid: Bool[Tensor, "B P"],
    *,
    number: Tensor,
    temperature: float,
) -> Float[Tensor, ""]:
    """Mean over valid positions, ``number``, of KL(teacher || student) of the similarities to known anchors.

    0 where no position is valid, or no anchor known.
    """
    ours, theirs = (features.transpose(1, 2).flatten(0, 1) for features in (student, teacher))
    weights = valid.flatten().to(student.dtype) / number
    keys = anchors.to(student.dtype)
    divergence: Tensor = KeyDivergence.apply(ours, theirs, keys, known, weights, temperature)
    return divergence


def append(
    rings: Float[Tensor, "C N D"],
    seen: Int64[Tensor, "C"],
    entries: Float[Tensor, "C K D"],
    fresh: Bool[Tensor, "C K"],
) -> None:
    """Write every class's fresh entries behind its newest ones, in place, over its oldest.

    ``seen`` counts what a class was ever given. Of more entries than a ring holds, the first ones are taken.
    No shape depends on the data, so that no device has to be waited for: the places after the fresh entries
    are written too, with what they hold.
    """
    order = fresh.int().argsort(dim=1, descending=True, stable=True)[:, : rings.shape[1]]
    taken = fresh.gather(1, order)
    slots = (seen[:, None] + torch.arange(order.shape[1], device=rings.device)) % rings.shape[1]
    new, held = rows_of(entries, order).to(rings.dtype), rows_of(rings, slots)
    written = torch.where(taken[:, :, None], new, held)
    rings.flatten(0, 1).index_copy_(0, places(rings, slots), written.flatten(0, 1))
    seen += taken.sum(dim=1)


def draw(
    rings: Float[Tensor, "C N D"], seen: Int64[Tensor, "C"], share: int
) -> tuple[Float[Tensor, "A D"], Bool[Tensor, "A"]]:
    """Up to ``share`` distinct entries of every class, at random; and which of them are filled ones."""
    length = rings.shape[1]
    known, slots = subsets(seen.clamp(max=length), min(share, length))
    return rows_of(rings, slots).flatten(0, 1), known.flatten()


def rows_of(tables: Float[Tensor, "C N D"], indices: Int64[Tensor, "C K"]) -> Float[Tensor, "C K D"]:
    """Rows of every table: whole ones are copied several times as fast as torch's indexing does."""
    return tables.flatten(0, 1).index_select(0, places(tables, indices)).view(*indices.shape, -1)


def places(tables: Float[Tensor, "C N D"], indices: Int64[Tensor, "C K"]) -> Int64[Tensor, "C*K"]:
    """Where those rows are when all tables are one below the other."""
    first = tables.shape[1] * torch.arange(len(tables), device=tables.device)
    return (indices + first[:, None]).flatten()


def subsets(sizes: Int64[Tensor, "C"], num: int) -> tuple[Bool[Tensor, "C K"], Int64[Tensor, "C K"]]:
    """For every n of ``sizes``, k = min(n, ``num``) distinct numbers below it: all sets alike probable.

    The first of the pair says which these are: the first k, in ascending order; the rest are 0.

    What is drawn are ``num`` numbers, and not one for each of n: by Pólya's urn. It begins with one ball each
    of m = n − k + 1 colours, and every ball that is drawn goes back with another of its colour. So all
    multisets of k colours are alike probable, and c_0 <= c_1 <= ..., c_i + i are as many sets of numbers
    below n.
    """
    place = torch.arange(num, device=sizes.device)
    k = sizes.clamp(max=num)[:, None]
    colours = sizes[:, None] - k + 1
    held = colours + place
    # Double precision, so that no ball is noticeably more probable than another.
    lots = torch.empty_like(held, dtype=torch.float64).uniform_(generator=common_generator())
    balls = (lots * held).long()
    # A later ball is a copy of an earlier draw, which may be one too: to its first one in log2 (num) leaps.
    drawn = torch.where(balls < colours, place, balls - colours)
    for _ in range(num.bit_length()):
        drawn = drawn.gather(1, drawn)
    chosen = balls.gather(1, drawn).masked_fill_(place >= k, torch.iinfo(torch.int64).max)
    numbers = chosen.sort(dim=1).values + place
    return place < k, numbers.masked_fill_(place >= k, 0)


def lottery(
    candidates: Bool[Tensor, "B C P"], num: int
) -> tuple[Bool[Tensor, "B C K"], Int64[Tensor, "B C K"]]:
    """``num`` distinct indices along the last dimension, at random among the candidates.

    The first of the pair says which are candidates: where there are fewer, the rest is filled up with others.
    """
    lots = torch.rand(candidates.shape, device=candidates.device, generator=common_generator())
    lots = lots.masked_fill(~candidates, -1)
    highest, chosen = lots.topk(min(num, candidates.shape[2]), dim=2)
    return highest >= 0, chosen
