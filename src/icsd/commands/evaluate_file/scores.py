"""The scores of a file, their intervals, and the difference to the run that it came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from icsd.arrays import read_arrays
from icsd.commands.evaluate_file.labelled import Labelled
from icsd.core.confusion import confusion_counts
from icsd.core.metrics import mean_iou
from icsd.core.predictions import predicted_classes
from icsd.deployment.runners import Runner
from icsd.errors import UserError
from icsd.records import MetricsRecord, read_record
from icsd.reporting.statistics.intervals import Interval, interval
from icsd.reporting.statistics.resampling import (
    Values,
    clip_weights,
    clips_of,
    image_weights,
    resampled_miou,
)

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Origin:
    """The evaluated run that a file came from.

    Attributes:
        folder: Of its results.
        metrics: What it reaches.
        confusion: [N, C, C], one matrix per image.
        ids: Of the images.
    """

    folder: Path
    metrics: MetricsRecord
    confusion: Counts
    ids: tuple[str, ...]


def confusion_of(runner: Runner, labelled: Labelled) -> Counts:
    """One confusion matrix per image, [N, C, C]; rows: truth, columns: prediction.

    Raises:
        UserError: An image cannot be read or predicted.
    """
    counts = []
    bar: tqdm[tuple[np.ndarray, np.ndarray]] = tqdm(
        labelled.pairs, total=len(labelled.ids), unit="image", leave=False, disable=None
    )
    for image, label in bar:
        prediction = predicted_classes(runner.logits([image]), label.shape).cpu()
        counts.append(confusion_counts(prediction[0], torch.from_numpy(label), len(runner.card.classes)))
    return torch.stack(counts).numpy()


def origin_of(root: Path, weights_sha256: str) -> Origin | None:
    """The results of the run whose training wrote these weights, where there are any."""
    for path in sorted((root / "results").glob("**/metrics.json")):
        try:
            metrics = read_record(path, MetricsRecord)
            if metrics.weights_sha256 != weights_sha256:
                continue
            layout = {"confusion": ("integer", 3), "ids": ("text", 1)}
            arrays = read_arrays(path.with_name("confusion.npz"), layout)  # type: ignore[arg-type]
        except (UserError, FileNotFoundError):
            continue
        return Origin(path.parent, metrics, arrays["confusion"], tuple(arrays["ids"].tolist()))
    return None


def weights_for(ids: Sequence[str], *, resamples: int, seed: int, clips: str | None) -> tuple[Values, int]:
    """The resamples of images, and how many independent blocks they draw.

    Raises:
        UserError: The pattern of clips does not match a name.
    """
    if clips is None:
        return image_weights(len(ids), resamples=resamples, seed=seed), len(ids)
    of_images = clips_of(ids, clips)
    return clip_weights(of_images, resamples=resamples, seed=seed), len(set(of_images))


def score(confusion: Counts, weights: Values, blocks: int) -> tuple[float, Interval | None]:
    """The mIoU in percent, and its 95 % interval over the choice of images; None for one image."""
    value = 100 * mean_iou(confusion.sum(axis=0))
    if blocks < 2:
        return value, None
    return value, interval([value], 100 * resampled_miou(confusion, weights)[None], num_images=blocks)


def difference(
    confusion: Counts, other: Counts, weights: Values, blocks: int
) -> tuple[float, Interval | None]:
    """The mIoU minus another's on the same images, in points, and its paired 95 % interval."""
    value = 100 * (mean_iou(confusion.sum(axis=0)) - mean_iou(other.sum(axis=0)))
    if blocks < 2:
        return value, None
    resampled = 100 * (resampled_miou(confusion, weights) - resampled_miou(other, weights))
    return value, interval([value], resampled[None], num_images=blocks)
