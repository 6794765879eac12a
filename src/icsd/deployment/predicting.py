"""Predicts the class of every pixel of images of any size and, if asked for, the probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from icsd.core.labels import Pixels
from icsd.core.logits import upsample
from icsd.core.predictions import predicted_classes
from icsd.deployment.runners import Runner
from icsd.deployment.tiles import tiled_logits


@dataclass(frozen=True)
class Tiling:
    """How large images are divided into tiles.

    Attributes:
        side: Side of a tile, in pixels of the image.
        overlap: Overlap of neighbouring tiles, as a fraction of their side.
    """

    side: int
    overlap: float


@dataclass(frozen=True)
class Prediction:
    """A network's prediction for one image.

    Attributes:
        classes: Class ids, uint8 [H, W].
        probabilities: uint8 [C, H, W], in 255ths; None if they were not asked for.
    """

    classes: Pixels
    probabilities: Pixels | None = None


def predict(
    runner: Runner, images: Sequence[Pixels], *, batch: int, tiling: Tiling | None, probabilities: bool
) -> list[Prediction]:
    """Predict images of one size, whole or in tiles.

    Args:
        runner: The network.
        images: [H, W, 3] each; at most ``batch`` without tiling.
        batch: Tiles at a time.
        tiling: None for whole images, in one batch.
        probabilities: Whether to return them, too.

    Raises:
        UserError: See ``Runner``.
    """
    if tiling is not None:
        return [_in_tiles(runner, image, batch, tiling, probabilities) for image in images]
    logits, size = runner.logits(images), images[0].shape[:2]
    classes = predicted_classes(logits, size).cpu().numpy().astype(np.uint8)
    if not probabilities:
        return [Prediction(ids) for ids in classes]
    return [
        Prediction(ids, _probabilities(upsample(own[None], size)[0]))
        for ids, own in zip(classes, logits, strict=True)
    ]


def _in_tiles(runner: Runner, image: Pixels, batch: int, tiling: Tiling, probabilities: bool) -> Prediction:
    classes = np.empty(image.shape[:2], np.uint8)
    shares: list[Pixels] = []
    for row, logits in tiled_logits(
        runner.logits, image, tile=tiling.side, overlap=tiling.overlap, batch=batch
    ):
        ids = predicted_classes(logits[None], logits.shape[1:])[0]
        classes[row : row + len(ids)] = ids.numpy().astype(np.uint8)
        if probabilities:
            shares.append(_probabilities(logits))
    return Prediction(classes, np.concatenate(shares, axis=1) if probabilities else None)


def _probabilities(logits: Tensor) -> Pixels:
    """Probabilities from logits [C, H, W], in 255ths."""
    in_255ths: Pixels = logits.softmax(0).mul_(255).round_().to(torch.uint8).cpu().numpy()
    return in_255ths
