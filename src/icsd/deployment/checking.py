"""Compares an exported file with the network that it was exported from, on real images of three sizes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from icsd.core.labels import Pixels
from icsd.core.logits import resized
from icsd.core.predictions import predicted_classes
from icsd.deployment.card import Card
from icsd.deployment.runners import Runner, open_file
from icsd.errors import UserError

TOLERANCE = 1e-3
"""Largest difference of a logit, relative to the largest logit: float32 sums in another order."""
TOLERANCE_SCALED = 0.05
"""The same if the file scales images itself: a grey level may round to its neighbour."""
SAME = 0.999
"""Share of the pixels that must have the same class."""


@dataclass(frozen=True)
class Comparison:
    """A file and its network on images of one size.

    Attributes:
        batch: Number of images.
        size: Height and width of the images.
        difference: Largest difference of a logit, relative to the largest logit.
        same: Share of the pixels that have the same class.
    """

    batch: int
    size: tuple[int, int]
    difference: float
    same: float


def check_file(path: Path, network: Runner, card: Card, images: Sequence[Pixels]) -> list[Comparison]:
    """Read a file again and compare it with its network.

    Args:
        path: The file.
        network: The network that it was exported from, in float32 on the CPU.
        card: The card that the file must have.
        images: Real images, [H, W, 3].

    Raises:
        UserError: The file has another card or, in float32, computes something else.
    """
    file = open_file(path)
    if file.card != card:
        raise UserError(f"{path.name}: its card is not what was written into it, so it was not kept")
    compared = [compare(network, file, group) for group in of_three_sizes(images)]
    if card.precision == "fp32":
        for found in compared:
            _check(found, card, path)
    return compared


def tolerance(card: Card) -> float:
    """Largest allowed difference of a logit, relative to the largest logit."""
    return TOLERANCE_SCALED if scales(card) else TOLERANCE


def scales(card: Card) -> bool:
    """Whether a file scales images itself."""
    return card.preprocessing == "inside" and card.input_scale != 1


def compare(network: Runner, file: Runner, images: Sequence[Pixels]) -> Comparison:
    """Compare the two on images of one size."""
    size = images[0].shape[:2]
    wanted, found = network.logits(images).cpu(), file.logits(images)
    difference = (resized(wanted, found) - found).abs().max() / wanted.abs().max().clamp_min(1e-12)
    same = predicted_classes(wanted, size) == predicted_classes(found, size)
    return Comparison(len(images), (size[0], size[1]), difference.item(), same.double().mean().item())


def of_three_sizes(images: Sequence[Pixels]) -> Iterator[list[Pixels]]:
    """The first image as it is, its odd-sized middle, and two images at three quarters of its size."""
    first = images[0]
    height, width = first.shape[:2]
    yield [first]
    low, left = height // 5, width // 7
    middle = first[low : max(low + 1, height - low - 1), left : max(left + 1, width - left - 2)]
    yield [np.ascontiguousarray(middle)]
    smaller = (max(1, 3 * width // 4), max(1, 3 * height // 4))
    yield [
        np.array(Image.fromarray(image).resize(smaller, Image.Resampling.BILINEAR))
        for image in (first, images[-1])
    ]


def _check(found: Comparison, card: Card, path: Path) -> None:
    height, width = found.size
    if not torch.tensor(found.difference).le(tolerance(card)) or found.same < SAME:
        raise UserError(
            f"{path.name}: on images of {height} × {width} its logits differ by {found.difference:.2g} of "
            f"the largest (at most {tolerance(card):g} is expected), and {found.same:.2%} of the pixels have "
            f"the network's class (at least {SAME:.1%}); it was not kept. Please report this"
        )
