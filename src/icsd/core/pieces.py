"""A step's batch where it is divided: among processes, and into parts whose gradients are accumulated.

A forward pass then sees a piece of the batch. What the batch as a whole decides (how many pixels are
labelled, which images are compared with each other, what is drawn at random) comes from here, so that the
gradients of all pieces together are those of one forward pass over the batch. Where nothing is divided, every
function here returns what it was given.

Pieces of several processes meet in every forward pass; accumulated parts run one after the other and share
counts and random numbers, not their features.

Gradients: processes and parts are averaged afterwards. So a loss that every process computes alike, from
tensors that all of them share and nothing else, passes ``world`` times its gradient to its own share, and
nothing has to be sent in the backward pass.
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
    """What one forward pass sees of the batch.

    Attributes:
        rank: Of this process, which has one contiguous share of the batch.
        world: Processes.
        part: Which part of this process's share it is, from 0.
        labels: [B, H, W] of all parts of the share.
        generator: Draws the same numbers in every process; at the same state before every part of a step.
    """

    rank: int
    world: int
    part: int
    labels: tuple[Tensor, ...]
    generator: torch.Generator | None = None

    @property
    def number(self) -> int:
        """Pieces of the whole batch."""
        return self.world * len(self.labels)

    @property
    def place(self) -> int:
        """Among them, in the order of the batch's images."""
        return self.rank * len(self.labels) + self.part


_WHOLE = Piece(rank=0, world=1, part=0, labels=())
_current = _WHOLE


@contextmanager
def forward_of(piece: Piece) -> Iterator[None]:
    """The block is the forward pass of a piece."""
    global _current
    former, _current = _current, piece
    try:
        yield
    finally:
        _current = former


def divisor(count: Callable[[Tensor], Tensor], labels: Tensor) -> Tensor:
    """What the sum over a piece is divided by, so that the mean over all pieces is the mean over the batch.

    Args:
        count: Labels [B, H, W] -> how much there is to average over in them, a scalar.
        labels: Of the piece.

    Returns:
        The count in the labels, where nothing is divided; else that in the batch by the number of pieces.
        1 where there is nothing to count.
    """
    if _current.number <= 1:
        total = count(labels)
        return total.where(total > 0, 1)
    total = torch.stack([count(part) for part in _current.labels]).sum()
    if _current.world > 1:
        dist.all_reduce(total)
    return total.where(total > 0, 1) / _current.number


def gathered(tensor: Tensor) -> Tensor:
    """[B, …] of all processes' pieces, one below the other: [world · B, …]."""
    if tensor.dtype == torch.bool and _current.world > 1:  # which gloo does not send
        return gathered(tensor.to(torch.uint8)).bool()
    return _Gathered.apply(tensor, _current) if _current.world > 1 else tensor


def summed(tensor: Tensor) -> Tensor:
    """The sum over all processes' pieces."""
    return _Summed.apply(tensor, _current.world) if _current.world > 1 else tensor


def averaged(tensor: Tensor) -> Tensor:
    """The mean over all processes' pieces."""
    return summed(tensor) / _current.world if _current.world > 1 else tensor


def processes() -> int:
    """How many processes share a forward pass."""
    return _current.world


def common_generator() -> torch.Generator | None:
    """For numbers that all processes draw alike; None stands for torch's own, where nothing is divided."""
    return _current.generator


def own_part(draw: Callable[[int], Tensor], images: int) -> Tensor:
    """What a piece has of random numbers [batch, …] for the whole batch.

    Args:
        draw: Draws for as many images, with ``common_generator``.
        images: Of the piece.
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
