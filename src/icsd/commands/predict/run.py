"""The command: reads images, predicts them in batches of one size, and writes the requested files."""

import errno
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import torch
from tqdm import tqdm

from icsd.commands.named_models import open_model
from icsd.commands.predict.images import Decoded, Picture, pictures_of, read_ahead
from icsd.commands.predict.outputs import MASKS, Note, Outputs, folders_of
from icsd.deployment.predicting import Tiling, predict
from icsd.deployment.runners import FileRunner, Runner, WrongOutputs
from icsd.errors import UserError
from icsd.files import check_writable, sha256_of

_THREADS = 2
"""Threads that decode images while the network runs."""
Batch = list[tuple[Picture, Decoded]]


@dataclass
class _Progress:
    """Counts of the images so far, by outcome."""

    bar: "tqdm[Any]"
    written: int = 0
    replaced: int = 0
    broken: list[str] = field(default_factory=list)

    def note_broken(self, picture: Picture, error: UserError) -> None:
        self.broken.append(str(picture.path))
        self.bar.write(f"{picture.path}: {error}", file=sys.stderr)
        self.bar.update()


def predict_images(
    root: Path,
    model: str,
    images: Sequence[str],
    *,
    out: Path,
    overlay: bool,
    probabilities: bool,
    tiling: Tiling | None,
    batch: int,
    device: str,
    dataset: str | None,
    force: bool,
) -> int:
    """Predict images, and print a summary.

    Args:
        root: The repository.
        model: See ``icsd.commands.named_models``.
        images: Files, folders and patterns.
        out: The folder to write to.
        overlay: Whether to write pictures of the classes on the images.
        probabilities: Whether to write every class's probability.
        tiling: None for whole images.
        batch: Images, or tiles, at a time.
        device: auto, cpu or cuda.
        dataset: See ``icsd.commands.named_models``.
        force: Whether to repeat existing predictions.

    Returns:
        The exit code: 1 if an image could not be read or predicted, otherwise 0.

    Raises:
        UserError: No such model or images, or a folder that holds other predictions.
    """
    out = out.expanduser()
    pictures = pictures_of(images, without=folders_of(out))
    _refuse_own(pictures, out)
    check_writable(out)
    runner = open_model(root, model, dataset=dataset, device=device_named(device))
    card = runner.card
    outputs = Outputs(out, card, overlay, probabilities)
    note = Note(
        weights_sha256=card.weights_sha256,
        precision=card.precision,
        classes=card.classes,
        input_scale=card.input_scale,
        file_sha256=sha256_of(Path(model).expanduser()) if isinstance(runner, FileRunner) else None,
        tile=tiling.side if tiling else None,
        overlap=tiling.overlap if tiling else None,
    )
    outputs.begin(note, force=force)
    left = [picture for picture in pictures if force or not outputs.are_there(picture.name, picture.path)]
    bar: tqdm[Any] = tqdm(
        total=len(pictures), initial=len(pictures) - len(left), unit="image", leave=False, disable=None
    )
    with bar:
        progress = _Progress(bar)
        for group in _batches(left, progress, batch if tiling is None else 1):
            _predict_group(runner, group, outputs, progress, batch, tiling)
    _say(progress, len(pictures) - len(left), out)
    return 1 if progress.broken else 0


def _refuse_own(pictures: Sequence[Picture], out: Path) -> None:
    """Refuse images in the folders of the outputs, since an image could be replaced by its own mask."""
    folders = [folder.resolve() for folder in folders_of(out)]
    for picture in pictures:
        place = picture.path.resolve()
        if any(place.is_relative_to(folder) for folder in folders):
            raise UserError(
                f"{picture.path}: lies where predictions are written; give another folder in --out"
            )


def device_named(name: str) -> torch.device:
    """The device of ``--device``; ``auto`` is CUDA if it is available.

    Raises:
        UserError: CUDA is requested but not available.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no CUDA device here; leave it out, or give --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _batches(pictures: Sequence[Picture], progress: _Progress, most: int) -> Iterator[Batch]:
    """Batches of at most ``most`` consecutive images of one size; broken images are noted and left out."""
    batch: Batch = []
    for picture, decoded in read_ahead(pictures, threads=_THREADS):
        if isinstance(decoded, UserError):
            progress.note_broken(picture, decoded)
            continue
        if batch and (len(batch) == most or batch[0][1].pixels.shape != decoded.pixels.shape):
            yield batch
            batch = []
        batch.append((picture, decoded))
    if batch:
        yield batch


def _predict_group(
    runner: Runner, group: Batch, outputs: Outputs, progress: _Progress, batch: int, tiling: Tiling | None
) -> None:
    try:
        predictions = predict(
            runner,
            [decoded.pixels for _, decoded in group],
            batch=batch,
            tiling=tiling,
            probabilities=outputs.probabilities,
        )
    except WrongOutputs:
        raise
    except UserError as error:
        for picture, _ in group:
            progress.note_broken(picture, error)
        return
    for (picture, decoded), prediction in zip(group, predictions, strict=True):
        try:
            progress.replaced += outputs.write(picture.name, decoded.pixels, decoded.sha256, prediction)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            too_long = "its name is too long for the files that are written of it; give it a shorter one"
            progress.note_broken(picture, UserError(too_long))
            continue
        progress.written += 1
        progress.bar.update()


def _say(progress: _Progress, skipped: int, out: Path) -> None:
    parts = [f"{progress.written} {_masks(progress.written)} written to {out / MASKS}"]
    parts += [f"{progress.replaced} in place of another image's"] if progress.replaced else []
    parts += [f"{skipped} already there"] if skipped else []
    click.echo(", ".join(parts))
    if progress.broken:
        click.echo(
            f"{len(progress.broken)} of the images could not be predicted; the lines above say why", err=True
        )


def _masks(count: int) -> str:
    return "mask" if count == 1 else "masks"
