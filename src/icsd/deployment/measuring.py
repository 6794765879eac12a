"""Confusion matrices of a network or an exported file, image by image."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from icsd.core.confusion import confusion_counts
from icsd.core.labels import Pixels
from icsd.core.predictions import predicted_classes
from icsd.deployment.runners import Runner

Counts = NDArray[np.int64]


def confusion_of(runner: Runner, pairs: Iterable[tuple[Pixels, Pixels]], *, total: int) -> Counts:
    """One confusion matrix per image, [N, C, C]; rows: truth, columns: prediction.

    Args:
        runner: The network.
        pairs: Image [H, W, 3] and label [H, W] of each.
        total: Number of pairs, for the progress bar.

    Raises:
        UserError: An image cannot be read or predicted.
    """
    counts = []
    bar: tqdm[tuple[Pixels, Pixels]] = tqdm(pairs, total=total, unit="image", leave=False, disable=None)
    for image, label in bar:
        prediction = predicted_classes(runner.logits([image]), (label.shape[0], label.shape[1])).cpu()
        counts.append(confusion_counts(prediction[0], torch.from_numpy(label), len(runner.card.classes)))
    return torch.stack(counts).numpy()
