"""Training on a subset of the images."""

from typing import Literal

import numpy as np

from icsd.core.seeds import seed_at


def chosen_images(num_images: int, subset: int | Literal["all"]) -> list[int]:
    """The indices of the training images, in ascending order.

    The choice depends only on the number of images. All networks therefore see the same images, whatever
    their seed and method, and a larger subset contains every smaller one.

    Args:
        num_images: Number of images of the training split.
        subset: Maximum number of images.
    """
    if subset == "all" or subset >= num_images:
        return list(range(num_images))
    return sorted(_order(num_images)[:subset])


def other_images(num_images: int, subset: int | Literal["all"], number: int | Literal["all"]) -> list[int]:
    """The indices of images outside the subset, in ascending order, chosen in the same way.

    Args:
        num_images: Number of images of the training split.
        subset: As for ``chosen_images``.
        number: Maximum number of images.
    """
    if subset == "all":
        return []
    others = _order(num_images)[subset:]
    return sorted(others if number == "all" else others[:number])


def _order(num_images: int) -> list[int]:
    rng = np.random.Generator(np.random.PCG64(seed_at(0, "subset")))
    order: list[int] = rng.permutation(num_images).tolist()
    return order
