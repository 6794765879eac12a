"""How often the classes are labelled in the images that train."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from icsd.core.labels import Pixels

Counts = NDArray[np.int64]


def class_pixels(labels: Iterable[Pixels], *, num_classes: int) -> tuple[Counts, Counts]:
    """Counts of pixels by class.

    The manifest has counts of the whole split; these are of the images given, so that a network that learns
    from a subset knows nothing of the other labels, and of images that differ in size.

    Args:
        labels: [H, W], of every image.
        num_classes: C.

    Returns:
        Two arrays [C]: pixels labelled with the class, and pixels labelled at all in the images that show it.
    """
    pixels, around = np.zeros((2, num_classes), dtype=np.int64)
    for label in labels:
        counts = np.bincount(label.reshape(-1), minlength=256)[:num_classes]
        pixels += counts
        around += np.where(counts > 0, counts.sum(), 0)
    return pixels, around
