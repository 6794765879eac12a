"""Writes an exported file, reads it again, and compares it with its network."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from icsd.core.labels import Pixels
from icsd.deployed import Format
from icsd.deployment.card import Card
from icsd.deployment.checking import Comparison, check_file, scales
from icsd.deployment.exporting import OPSET, onnx_file, torch_file
from icsd.deployment.quantising import int8_file
from icsd.deployment.runners import FileRunner, NetworkRunner, Runner
from icsd.files import write_bytes
from icsd.programs import segmenter

SUFFIX: dict[Format, str] = {"onnx": ".onnx", "torch": ".pt2", "int8": ".onnx"}
Item = TypeVar("Item")


def card_of_file(card: Card, to: Format, *, inside: bool) -> Card:
    """The card of a network's exported file.

    Args:
        card: The network's card.
        to: The file's format.
        inside: Whether the file scales and normalises images itself.
    """
    return card.model_copy(
        update={
            "preprocessing": "inside" if inside else "outside",
            "precision": "int8" if to == "int8" else "fp32",
            "opset": None if to == "torch" else OPSET,
        }
    )


def write_checked(
    file: Path,
    runner: NetworkRunner,
    card: Card,
    to: Format,
    images: Sequence[Pixels],
    *,
    exported: bytes | None = None,
) -> list[Comparison]:
    """Write a file and check it.

    Args:
        file: The path, at which nothing reads the file before it is checked.
        runner: The network, on the CPU.
        card: The file's card.
        to: The file's format.
        images: Real images on which it is checked and int8 is calibrated; never from the reported split.
        exported: The content of the network's ONNX file with the same preprocessing, if there is one; it is
            used instead of a new export.

    Raises:
        UserError: A library is missing, or the file does not compute what its network does.
    """
    if to == "torch":
        content = torch_file(runner.network, card)
    else:
        content = exported or onnx_file(runner.network, card)
        content = int8_file(content, card, images) if to == "int8" else content
    write_bytes(file, content)
    return check_file(file, _reference(runner, card), card, images)


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most ``count`` of the items, evenly spread, the first and the last among them."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places]


def _reference(runner: NetworkRunner, card: Card) -> Runner:
    """What the file must compute: the network, with the scaling of images if that is in the file."""
    if not scales(card):
        return runner
    module = segmenter(runner.network, input_scale=card.input_scale, mean=card.mean, std=card.std)
    return FileRunner(module, card)
