"""The command: measures a network or an exported file, and prints its scores next to its run's."""

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from pydantic import ValidationError

from icsd.commands.evaluate_file.labelled import in_folders, reported
from icsd.commands.evaluate_file.origin import Origin, origin_of
from icsd.commands.named_models import open_model
from icsd.commands.predict.run import device_named
from icsd.core.metrics import iou_per_class
from icsd.deployment.card import Card
from icsd.deployment.measuring import Counts, confusion_of
from icsd.errors import UserError
from icsd.params.messages import explained
from icsd.params.reading import PARAMS, listed, merge, preset_name
from icsd.params.schema import Report
from icsd.reporting.statistics.intervals import Interval
from icsd.reporting.statistics.one_network import difference, score
from icsd.reporting.statistics.resampling import weights_for
from icsd.yaml_files import read_yaml


def evaluate_file(
    root: Path,
    model: str,
    *,
    images: str | None,
    masks: Path | None,
    ignored: Sequence[int],
    device: str,
    dataset: str | None,
) -> None:
    """Measure a model, and print its scores.

    Args:
        root: The repository.
        model: See ``icsd.commands.named_models``.
        images: A folder or pattern; None for the reported split.
        masks: The folder of their masks.
        ignored: Values in masks whose pixels do not count.
        device: auto, cpu or cuda.
        dataset: See ``icsd.commands.named_models``.

    Raises:
        UserError: No such model, no labelled images, or something that cannot be read.
    """
    if (images is None) != (masks is None):
        raise UserError("--images and --masks belong together: give both, or none for the reported split")
    runner = open_model(root, model, dataset=dataset, device=device_named(device))
    card = runner.card
    if images is None or masks is None:
        labelled, report = reported(root, card), _report(root, card.dataset)
        clips = report.clip_pattern
    else:
        labelled = in_folders(images, masks.expanduser(), card, ignored=ignored)
        report, clips = _report(root, card.dataset), None
    confusion = confusion_of(runner, labelled.pairs, total=len(labelled.ids))
    if not confusion.any():
        raise UserError(f"{labelled.name}: no pixel has a class, so there is nothing to evaluate")
    weights, num_clips = weights_for(labelled.ids, resamples=report.resamples, seed=report.seed, clips=clips)
    blocks = num_clips or len(labelled.ids)
    value, span = score(confusion, weights, blocks)
    over = f"{blocks} clips" if clips else f"{blocks} images"
    click.echo(
        f"{card.network} ({card.dataset}, {card.precision}) on {labelled.name}, {len(confusion)} images"
    )
    click.echo(f"mIoU {value:.2f} %{_shown(span)} over {over}")
    origin = origin_of(root, card.weights_sha256)
    same = origin is not None and origin.ids == labelled.ids
    if origin is not None and same:
        change, span = difference(confusion, origin.confusion, weights, blocks)
        click.echo(
            f"its run, {origin.folder.relative_to(root)}: {100 * origin.metrics.miou:.2f} %; "
            f"difference {round(change, 2) + 0.0:+.2f} points{_shown(span)}"
        )
    elif origin is not None:
        click.echo(
            f"its run, {origin.folder.relative_to(root)}, on other images: {100 * origin.metrics.miou:.2f} %"
        )
    _print_classes(card, confusion, origin)


def _report(root: Path, dataset: str) -> Report:
    """The settings for intervals, as in the report of the dataset."""
    written = read_yaml(root / PARAMS)
    preset = root / preset_name(dataset)
    tree = merge(read_yaml(preset), written) if preset.is_file() else written
    block = dict(tree.get("report") or {})
    block["clips"] = block.get("clips") or "none"
    try:
        return Report.model_validate(block)
    except ValidationError as error:
        raise listed(PARAMS, explained(error, schema=Report, prefix="report")) from None


def _shown(span: Interval | None) -> str:
    return f" [{round(span.low, 2) + 0.0:.2f}, {round(span.high, 2) + 0.0:.2f}]" if span else ""


def _print_classes(card: Card, confusion: Counts, origin: Origin | None) -> None:
    own = 100 * iou_per_class(confusion.sum(axis=0))
    width = max(map(len, card.classes))
    click.echo(f"{'class':<{width}}  {'IoU':>6}" + (f"  {'run':>6}  {'diff':>6}" if origin else ""))
    for index, name in enumerate(card.classes):
        line = f"{name:<{width}}  {_cell(own[index])}"
        if origin is not None:
            iou = origin.metrics.iou_per_class[index]
            theirs = np.nan if iou is None else 100 * iou
            line += f"  {_cell(theirs)}  {_cell(own[index] - theirs, '+')}"
        click.echo(line)


def _cell(value: float, sign: str = "") -> str:
    return f"{'–':>6}" if np.isnan(value) else f"{round(value, 2) + 0.0:>{sign}6.2f}"  # no -0.00
