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
    """The student's cross-image similarities match the teacher's, within the batch and to earlier images.

    All features are L2-normalised over channels, and every similarity is divided by τ.

    - ``cirkd_batch``: for every ordered pair of images of the batch (including an image with itself) and
      every position of the first, the softmax of its similarities to all positions of the second;
      KL(teacher || student), mean over pairs and positions. All positions count, as published.
    - ``cirkd_pixel``: for every labelled position, the softmax of its similarities to anchors: teacher
      features of single pixels of earlier images, equally many per class, drawn again in every forward pass.
      A projector maps the student's features to the teacher's width: 1x1 convolution, BN, ReLU, 1x1
      convolution. KL(teacher || student), mean over labelled positions.
    - ``cirkd_region``: the same with regions as anchors: the mean feature of a class in an image.

    Each class has one ring buffer per kind of anchor, saved in checkpoints, so that a resumed run continues
    exactly. In training, a forward pass first adds the batch's own teacher features (one region per image and
    class, and up to ``pixels_stored`` random pixels of it) and then draws. Anchors are stored in float16:
    C · (``pixel_queue`` + ``region_queue``) · channels · 2 bytes, 237 MB for 21 classes and 256 channels.

    Readings where the paper is silent or its code (github.com/winycg/CIRKD) differs:

    - The rings start empty, and only filled entries are drawn; the code starts from random unit vectors, so
      its first anchors are noise. With no anchor at all, the two terms are 0.
    - For a class with n pixels, the code enqueues some of the image's first n positions, whatever their
      class; here they are pixels of the class, as the paper says.
    - As in the code, features are gathered from all processes, for the pairs of images and for the rings,
      which are the same in every process. If a batch is split to fit into memory, a part is compared with
      the images of the same part in all processes.
    - Their tap, "after ASPP", is the input of DeepLabV3's classifier, at stride 8. A DeepLabV3+ has a decoder
      in between, whose map at stride 4 has 16 times as many positions as ``aspp``.

    The code normalises in the same way, so its weights carry over. For VOC it uses 0.01 instead of 0.1 for
    the two terms with anchors.

    Args:
        student_channels: Width of every tap of the student.
        teacher_channels: Width of every tap of the teacher.
        num_classes: C.
        tap: The map whose features are compared.
        temperature: τ.
        pool: Side of the squares that are averaged before ``cirkd_batch``, whose memory grows with the square
            of batch size x positions; 1 for none, as published.
        pixel_queue: Length of a class's ring of pixels.
        region_queue: Length of a class's ring of regions.
        pixels_stored: Maximum number of pixels that an image adds to the ring of a class.
        pixels_sampled: Number of anchors of ``cirkd_pixel``, divided equally among the classes.
        regions_sampled: Number of anchors of ``cirkd_region``, divided equally among the classes.
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
        # As in the authors' code: at least one anchor per class.
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
    """KL(teacher || student) of a position's similarities to an image, mean over positions and images."""
    ours, theirs = (
        F.normalize(x, dim=1).flatten(2).transpose(1, 2).flatten(0, 1) for x in (student, teacher)
    )
    images = student.shape[0]
    divergence: Tensor = PairDivergence.apply(ours, theirs, images, temperature)
    return divergence / (images * len(ours))


def pooled(features: Float[Tensor, "B K h w"], side: int) -> Float[Tensor, "B K _ _"]:
    """Average over squares of side x side positions."""
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
    """KL(teacher || student) of the similarities to known anchors, averaged over valid positions.

    The sum is divided by ``number``. The result is 0 if no position is valid or no anchor is known.
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
    """Append every class's fresh entries to its ring in place, overwriting the oldest.

    ``seen`` counts all entries a class has ever been given. If more are fresh than a ring holds, the first
    ones are taken. No shape depends on the data, so the host never waits for the device: slots after the
    fresh entries are rewritten with the values they already hold.
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
    """Up to ``share`` distinct random entries of every class, and a mask of those that are filled."""
    length = rings.shape[1]
    known, slots = subsets(seen.clamp(max=length), min(share, length))
    return rows_of(rings, slots).flatten(0, 1), known.flatten()


def rows_of(tables: Float[Tensor, "C N D"], indices: Int64[Tensor, "C K"]) -> Float[Tensor, "C K D"]:
    """Rows of every table, by ``index_select``, which is several times as fast as torch's indexing."""
    return tables.flatten(0, 1).index_select(0, places(tables, indices)).view(*indices.shape, -1)


def places(tables: Float[Tensor, "C N D"], indices: Int64[Tensor, "C K"]) -> Int64[Tensor, "C*K"]:
    """Indices of those rows in the concatenation of all tables."""
    first = tables.shape[1] * torch.arange(len(tables), device=tables.device)
    return (indices + first[:, None]).flatten()


def subsets(sizes: Int64[Tensor, "C"], num: int) -> tuple[Bool[Tensor, "C K"], Int64[Tensor, "C K"]]:
    """For every n in ``sizes``, a uniformly random set of k = min(n, ``num``) distinct integers below n.

    Returns a mask of the first k columns and the integers: the set in ascending order, then zeros.

    Pólya's urn needs only ``num`` draws per class instead of n. It starts with one ball each of m = n − k + 1
    colours, and every ball that is drawn is returned with another of its colour. All multisets of k colours
    are then equally probable, and sorted colours c_0 <= c_1 <= ... map one-to-one to sets of k integers below
    n by c_i + i.
    """
    place = torch.arange(num, device=sizes.device)
    k = sizes.clamp(max=num)[:, None]
    colours = sizes[:, None] - k + 1
    held = colours + place
    # Double precision, so that no ball is noticeably more probable than another.
    lots = torch.empty_like(held, dtype=torch.float64).uniform_(generator=common_generator())
    balls = (lots * held).long()
    # A later ball is a copy of an earlier draw, possibly a copy itself: pointer jumping finds the original.
    drawn = torch.where(balls < colours, place, balls - colours)
    for _ in range(num.bit_length()):
        drawn = drawn.gather(1, drawn)
    chosen = balls.gather(1, drawn).masked_fill_(place >= k, torch.iinfo(torch.int64).max)
    numbers = chosen.sort(dim=1).values + place
    return place < k, numbers.masked_fill_(place >= k, 0)


def lottery(
    candidates: Bool[Tensor, "B C P"], num: int
) -> tuple[Bool[Tensor, "B C K"], Int64[Tensor, "B C K"]]:
    """``num`` distinct random indices of candidates along the last dimension.

    Returns a mask of the indices that are candidates, and the indices. If there are fewer than ``num``
    candidates, the rest are other indices.
    """
    lots = torch.rand(candidates.shape, device=candidates.device, generator=common_generator())
    lots = lots.masked_fill(~candidates, -1)
    highest, chosen = lots.topk(min(num, candidates.shape[2]), dim=2)
    return highest >= 0, chosen
