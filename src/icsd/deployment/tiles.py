"""Predicts images of any size in overlapping tiles, whose logits are blended so that no seams show."""

from collections.abc import Callable, Iterator, Sequence
from math import ceil

import torch
from torch import Tensor

from icsd.core.labels import Pixels
from icsd.core.logits import upsample

Logits = Callable[[Sequence[Pixels]], Tensor]
"""Maps images of one size to logits of any size."""


def tiled_logits(
    logits: Logits, image: Pixels, *, tile: int, overlap: float, batch: int
) -> Iterator[tuple[int, Tensor]]:
    """The logits of an image, blended from those of its tiles, from top to bottom.

    A tile's weight falls towards its neighbours, almost to 0 at its own edge, and the weights of every pixel
    add up to 1: if an object lies across the edge of a tile, the tile with more context decides. Only the
    rows of one line of tiles are in memory.

    Args:
        logits: The network.
        image: [H, W, 3].
        tile: Side of a tile in pixels of the image. If a side of the image is shorter, so is the tile's.
        overlap: Smallest overlap of neighbouring tiles, as a fraction of their side; below 1.
        batch: Tiles at a time.

    Yields:
        A row number, and the logits [C, h, W] of the rows from there on.
    """
    height, width = image.shape[:2]
    rows, row_weights = places(height, tile, overlap)
    columns, column_weights = places(width, tile, overlap)
    strip: Tensor | None = None
    for row, down, following in zip(rows, row_weights, [*rows[1:], height], strict=True):
        line = list(zip(columns, column_weights, strict=True))
        for some in (line[begin : begin + batch] for begin in range(0, len(line), batch)):
            parts = [image[row : row + len(down), column : column + len(along)] for column, along in some]
            found = upsample(logits(parts), parts[0].shape[:2]).cpu()
            if strip is None:
                strip = found.new_zeros(found.shape[1], len(down), width)
            for part, (column, along) in zip(found, some, strict=True):
                strip[:, :, column : column + len(along)] += part * (down[:, None] * along)
        assert strip is not None
        done = following - row
        yield row, strip[:, :done]
        strip = torch.cat([strip[:, done:], torch.zeros_like(strip[:, :done])], dim=1)


def places(side: int, tile: int, overlap: float) -> tuple[list[int], list[Tensor]]:
    """The evenly spread positions of tiles along one side, and the weights of their pixels."""
    if side <= tile:
        return [0], [torch.ones(side)]
    step = max(1, int(tile * (1 - overlap)))
    count = ceil((side - tile) / step) + 1
    begins = [round(place * (side - tile) / (count - 1)) for place in range(count)]
    weights = []
    for place, begin in enumerate(begins):
        weight = torch.ones(tile)
        if place:
            common = begins[place - 1] + tile - begin
            weight[:common] = _rising(common)
        if place + 1 < count:
            common = begin + tile - begins[place + 1]
            weight[tile - common :] = torch.minimum(weight[tile - common :], _rising(common).flip(0))
        weights.append(weight)
    total = torch.zeros(side)
    for begin, weight in zip(begins, weights, strict=True):
        total[begin : begin + tile] += weight
    return begins, [
        weight / total[begin : begin + tile] for begin, weight in zip(begins, weights, strict=True)
    ]


def _rising(length: int) -> Tensor:
    return (torch.arange(length) + 1) / (length + 1)
