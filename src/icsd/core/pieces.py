"""Losses over a step's batch that is divided among processes and into parts with accumulated gradients.

Each forward pass then sees one piece of the batch. Quantities of the whole batch (the number of labelled
pixels, which images are compared with each other, random draws) come from this module, so that the gradients
of all pieces add up to those of one forward pass over the batch. If nothing is divided, every function here
leaves its input unchanged.

Processes exchange tensors in every forward pass. Accumulated parts run one after the other and share counts
and random numbers, but not features.

Gradients are averaged over processes and parts afterwards. A loss that every process computes identically,
from gathered tensors alone, therefore passes ``world`` times its gradient to the process's own share, and
the backward pass needs no communication.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Piece:
    """The piece of the batch that one forward pass sees.

    Attributes:
        rank: Rank of this process, which has one contiguous share of the batch.
        world: Number of processes.
        part: Index of this part within the process's share, from 0.
        labels: Labels [B, H, W] of every part of the share.
        generator: Draws the same numbers in every process and in every part of a step.
    """

    rank: int
    world: int
    part: int
    labels: tuple[Tensor, ...]
    generator: torch.Generator | None = None

    @property
    def number(self) -> int:
        """Number of pieces of the whole batch."""
        return self.world * len(self.labels)

    @property
    def place(self) -> int:
        """Index of this piece, in the order of the batch's images."""
        return self.rank * len(self.labels) + self.part


_WHOLE = Piece(rank=0, world=1, part=0, labels=())
_current = _WHOLE


@contextmanager
def forward_of(piece: Piece) -> Iterator[None]:
    """Run the ``with`` block as the forward pass of a piece."""
    global _current
    former, _current = _current, piece
    try:
        yield
    finally:
        _current = former


def divisor(count: Callable[[Tensor], Tensor], labels: Tensor) -> Tensor:
    """The divisor of a sum over a piece that makes the mean over all pieces the mean over the batch.

    Args:
        count: Maps labels [B, H, W] to the number of elements to average over, a scalar tensor.
        labels: Labels of the piece.

    Returns:
        The count in the whole batch (1 if it is 0), divided by the number of pieces.
    """
    if _current.number <= 1:
        total = count(labels)
        return total.where(total > 0, 1)
    total = torch.stack([count(part) for part in _current.labels]).sum()
    if _current.world > 1:
        dist.all_reduce(total)
    return total.where(total > 0, 1) / _current.number


def gathered(tensor: Tensor) -> Tensor:
    """Concatenate the tensors [B, …] of all processes' pieces to [world · B, …]."""
    if tensor.dtype == torch.bool and _current.world > 1:  # gloo does not send bool tensors
        return gathered(tensor.to(torch.uint8)).bool()
    return _Gathered.apply(tensor, _current) if _current.world > 1 else tensor


def summed(tensor: Tensor) -> Tensor:
    """The sum over all processes' pieces."""
    return _Summed.apply(tensor, _current.world) if _current.world > 1 else tensor


def averaged(tensor: Tensor) -> Tensor:
    """The mean over all processes' pieces."""
    return summed(tensor) / _current.world if _current.world > 1 else tensor


def processes() -> int:
    """Number of processes that share a forward pass."""
    return _current.world


def common_generator() -> torch.Generator | None:
    """Generator of draws shared by all processes; None (torch's own generator) if nothing is divided."""
    return _current.generator


def own_part(draw: Callable[[int], Tensor], images: int) -> Tensor:
    """This piece's slice of random numbers [batch, …] drawn for the whole batch.

    Args:
        draw: Draws for the given number of images, with ``common_generator``.
        images: Number of images in the piece.
    """
    number = max(_current.number, 1)
    return draw(number * images).narrow(0, _current.place * images, images)


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, piece: Piece) -> Tensor:  # noqa: ANN401 - torch's context
        ctx.piece, ctx.images = piece, len(tensor)
        parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(piece.world)]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - torch's context
        own = gradients[0].narrow(0, ctx.piece.rank * ctx.images, ctx.images)
        return own * ctx.piece.world, None


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, world: int) -> Tensor:  # noqa: ANN401 - torch's context
        ctx.world = world
        total = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - torch's context
        return gradients[0] * ctx.world, None
