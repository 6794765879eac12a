"""An exported file: written, read again, and compared with its network."""

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
    """What a file of a network says of itself.

    Args:
        card: The network's.
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
    """Write a file where nobody looks yet, and check it.

    Args:
        file: The place.
        runner: The network, on the CPU.
        card: Of the file.
        to: Its format.
        images: Real ones, to check it on, and to calibrate 8 bits on; never of the reported split.
        exported: The same network as ONNX with the same preprocessing, if there is such a file: 8 bits are
            made of it.

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
    """What the file must compute: the network, with what stands before it where that is inside."""
    if not scales(card):
        return runner
    module = segmenter(runner.network, input_scale=card.input_scale, mean=card.mean, std=card.std)
    return FileRunner(module, card)
