"""A call of a network on images of one size: the unit whose time and memory are measured."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from icsd.deployment.runners import FileRunner, NetworkRunner
from icsd.errors import UserError, first_line

Size = tuple[int, int]
"""Height and width of an image as the network sees it."""
Opened = NetworkRunner | FileRunner


def call_of(runner: Opened, size: Size, batch: int) -> Callable[[], object]:
    """A call of a network on images of one size; it returns when its device is done.

    Args:
        runner: The network.
        size: Height and width of the images as the network sees them.
        batch: Number of images.
    """
    height, width = size
    if isinstance(runner, FileRunner):
        images, run = _input(runner, size, batch), runner.run
        return _named(lambda: run(images), runner, size)
    network, device = runner.network, runner.device
    inputs = _noise(batch, height, width).to(device)

    def call() -> None:
        network(inputs)["logits"]
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return _named(call, runner, size)


def _input(runner: FileRunner, size: Size, batch: int) -> Tensor:
    if runner.card.preprocessing == "outside":
        return _noise(batch, *size)
    read = [max(1, round(side / runner.card.input_scale)) for side in size]
    pixels = np.random.default_rng(0).integers(0, 256, (batch, *read, 3))
    return torch.from_numpy(pixels.astype(np.uint8))


def _noise(batch: int, height: int, width: int) -> Tensor:
    """Random input with the mean and spread of normalised images; the content changes no network's time."""
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


def _named(call: Callable[[], object], runner: Opened, size: Size) -> Callable[[], object]:
    @torch.no_grad()
    def named() -> object:
        try:
            return call()
        except Exception as error:  # each runtime has its own
            what = f"{runner.card.network} ({runner.card.precision})"
            raise UserError(
                f"{what} cannot take images of {size[0]} × {size[1]}: {first_line(error)[:200]}"
            ) from error

    return named
