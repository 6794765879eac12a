"""The command: writes a file, reads it again, compares it with the network, and only then keeps it."""

from collections.abc import Sequence
from pathlib import Path

import click
import torch

from icsd.commands.export.real_images import real_images
from icsd.commands.named_models import open_network
from icsd.deployed import Format
from icsd.deployment.card import Card
from icsd.deployment.checking import Comparison, compare, scales, tolerance
from icsd.deployment.runners import open_file
from icsd.deployment.writing import SUFFIX, card_of_file, write_checked
from icsd.errors import UserError
from icsd.files import check_writable, place_beside


def export(
    root: Path,
    model: str,
    *,
    to: Format,
    out: Path,
    with_preprocessing: bool,
    images: Sequence[str],
    calibration: int,
    dataset: str | None,
) -> None:
    """Export a network, and print how the file was checked.

    Args:
        root: The repository.
        model: A network of this project; see ``icsd.commands.named_models``.
        to: The format.
        out: The file to write.
        with_preprocessing: Whether the file scales and normalises images itself.
        images: Real images; empty for those of the training split.
        calibration: Number of images on which int8 is calibrated.
        dataset: See ``icsd.commands.named_models``.

    Raises:
        UserError: There is no such model or image, a library is missing, or the file does not compute the
            same; nothing is written then.
    """
    out = out.expanduser()
    if out.suffix != SUFFIX[to]:
        raise UserError(f"--out {out}: a file for --to {to} ends in {SUFFIX[to]}")
    check_writable(out)
    runner = open_network(root, model, dataset=dataset, device=torch.device("cpu"))
    pictures = real_images(root, runner.card.dataset, images, calibration if to == "int8" else 2)
    card = card_of_file(runner.card, to, inside=with_preprocessing)
    with place_beside(out) as place:
        unfinished = place / out.name
        compared = write_checked(unfinished, runner, card, to, pictures)
        evaluated = compare(runner, open_file(unfinished), pictures[:1])
        unfinished.replace(out)
    _say(out, card, compared, len(pictures))
    if scales(card):
        click.echo(
            f"against the evaluation, which scales whole grey levels: {evaluated.same:.2%} of the pixels "
            "have the same class"
        )


def _say(out: Path, card: Card, compared: Sequence[Comparison], calibrated: int) -> None:
    megabytes = out.stat().st_size / 1e6
    opset = f", opset {card.opset}" if card.opset else ""
    click.echo(f"{out}: {megabytes:.1f} MB, {card.precision}{opset}, preprocessing {card.preprocessing}")
    if card.precision == "int8":
        click.echo(f"calibrated on {calibrated} images")
    for found in compared:
        height, width = found.size
        bound = f" (at most {tolerance(card):g})" if card.precision == "fp32" else ""
        click.echo(
            f"{found.batch} × {height} × {width}: logits differ by {found.difference:.1e} of the "
            f"largest{bound}, {found.same:.2%} of the pixels have the network's class"
        )
