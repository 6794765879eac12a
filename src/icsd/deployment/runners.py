"""Runners, which turn images into logits: a network of this project, or a file that was exported from one."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from icsd.core.labels import Pixels
from icsd.data.transforms import prepare
from icsd.deployment.card import KEY, Card, read_card
from icsd.deployment.libraries import needed
from icsd.errors import UserError, first_line

SUFFIXES = (".onnx", ".pt2")
"""Suffixes of exported files."""


class WrongOutputs(UserError):
    """A file does not return what its card says, whatever image it is given."""


class Runner(Protocol):
    """A network and its card."""

    @property
    def card(self) -> Card:
        """The network's card."""
        ...

    def logits(self, images: Sequence[Pixels]) -> Tensor:
        """Float32 logits [B, C, h, w] of images [H, W, 3] of one size, at the network's own output size.

        Raises:
            UserError: They are not finite, or the network cannot take images of this size.
        """
        ...


@dataclass(frozen=True)
class NetworkRunner:
    """A network of this project.

    Attributes:
        network: The network in eval mode, on ``device``.
        card: Its card.
        device: Its device.
    """

    network: nn.Module
    card: Card
    device: torch.device

    @torch.no_grad()
    def logits(self, images: Sequence[Pixels]) -> Tensor:
        """See ``Runner``."""
        batch = prepared(images, self.card).to(self.device)
        return _finite(_run(lambda: self.network(batch)["logits"].float(), images), self.card)


@dataclass(frozen=True)
class FileRunner:
    """An exported file, on the CPU.

    Attributes:
        run: Maps the file's input to its output.
        card: The card in the file.
    """

    run: Callable[[Tensor], Tensor]
    card: Card

    @torch.no_grad()
    def logits(self, images: Sequence[Pixels]) -> Tensor:
        """See ``Runner``."""
        batch = input_of(images, self.card)
        logits = _run(lambda: self.run(batch), images)
        shape, classes = tuple(logits.shape), len(self.card.classes)
        if len(shape) != 4 or shape[:2] != (len(images), classes):
            raise WrongOutputs(
                f"{self.card.network} ({self.card.dataset}): the file has {classes} classes by its card, and "
                f"returns {list(shape)} for {len(images)} images; export the network again with "
                "`python -m pipeline export`"
            )
        return _finite(logits, self.card)


def input_of(images: Sequence[Pixels], card: Card) -> Tensor:
    """The input of an exported file for images of one size."""
    if card.preprocessing == "inside":
        return torch.from_numpy(np.stack(images))
    return prepared(images, card)


def prepared(images: Sequence[Pixels], card: Card) -> Tensor:
    """The network's input [B, 3, h, w], as in the evaluation."""
    return torch.stack(
        [prepare(image, input_scale=card.input_scale, mean=card.mean, std=card.std) for image in images]
    )


def open_file(path: Path, threads: int | None = None) -> FileRunner:
    """Open an exported file.

    Args:
        path: The file.
        threads: Threads of ONNX Runtime; None for one per core. A torch.export program uses torch's.

    Raises:
        UserError: There is no such file, it is damaged or no export of this project, or a library is missing.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    return _open_onnx(path, threads) if path.suffix == ".onnx" else _open_program(path)


def _open_onnx(path: Path, threads: int | None) -> FileRunner:
    runtime = needed("onnxruntime", wanted_by=str(path))
    try:
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 0
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        metadata = session.get_modelmeta().custom_metadata_map
        name = session.get_inputs()[0].name
    except Exception as error:  # a damaged file can raise any exception in the reader
        raise _unreadable(path, error) from error

    def run(batch: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {name: batch.numpy()})[0])

    return FileRunner(run, read_card(metadata.get(KEY), str(path)))


def _open_program(path: Path) -> FileRunner:
    extra = {KEY: ""}
    try:
        with _quiet():
            module = torch.export.load(path, extra_files=extra).module()
    except Exception as error:  # likewise
        raise _unreadable(path, error) from error
    return FileRunner(module, read_card(extra[KEY] or None, str(path)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's tracebacks about a file that it cannot read: the error says it."""
    logger = logging.getLogger("torch.export")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = first_line(error)[:200]
    if "warnings above" in reason:  # torch's, which are not shown
        reason = "no program of torch.export"
    return UserError(
        f"{path} is not a readable {path.suffix} file ({reason}); export the network again "
        "with `python -m pipeline export`"
    )


def _run(run: Callable[[], Tensor], images: Sequence[Pixels]) -> Tensor:
    try:
        return run()
    except Exception as error:  # each runtime has its own
        height, width = images[0].shape[:2]
        memory = isinstance(error, MemoryError) or "allocate" in str(error) or "out of memory" in str(error)
        advice = "lower --batch, or give --tile 512" if memory else "the network cannot take it"
        raise UserError(f"an image of {height} × {width}: {first_line(error)[:200]}; {advice}") from error


def _finite(logits: Tensor, card: Card) -> Tensor:
    if not logits.isfinite().all():
        raise UserError(
            f"{card.network} ({card.dataset}): its logits are not finite, as its training diverged"
        )
    return logits
