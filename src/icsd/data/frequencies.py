"""How often each class is labelled in the training images."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from icsd.core.labels import Pixels

Counts = NDArray[np.int64]


def class_pixels(labels: Iterable[Pixels], *, num_classes: int) -> tuple[Counts, Counts]:
    """Count labelled pixels by class.

    The manifest counts the whole split. This counts only the given images, so that a network trained on a
    subset uses no other labels.

    Args:
        labels: Label map [H, W] of every image; sizes may differ.
        num_classes: C.

    Returns:
        Two arrays [C]: pixels labelled with the class, and all labelled pixels of the images that show it.
    """
    pixels, around = np.zeros((2, num_classes), dtype=np.int64)
    for label in labels:
        counts = np.bincount(label.reshape(-1), minlength=256)[:num_classes]
        pixels += counts
        around += np.where(counts > 0, counts.sum(), 0)
    return pixels, around
