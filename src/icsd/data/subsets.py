"""Training on fewer images than there are."""

from typing import Literal

import numpy as np

from icsd.core.seeds import seed_at


def chosen_images(num_images: int, subset: int | Literal["all"]) -> list[int]:
    """The indices of the images that train, in order.

    The choice depends on nothing but the number of images, so that all networks, whatever their seed and
    method, see the same ones, and a larger subset holds the smaller ones.

    Args:
        num_images: Of the training split.
        subset: How many at most: all of them where there are fewer.
    """
    if subset == "all" or subset >= num_images:
        return list(range(num_images))
    return sorted(_order(num_images)[:subset])


def other_images(num_images: int, subset: int | Literal["all"], number: int | Literal["all"]) -> list[int]:
    """The indices of images outside the subset, in order; chosen likewise.

    Args:
        num_images: Of the training split.
        subset: As for ``chosen_images``.
        number: How many at most.
    """
    if subset == "all":
        return []
    others = _order(num_images)[subset:]
    return sorted(others if number == "all" else others[:number])


def _order(num_images: int) -> list[int]:
    rng = np.random.Generator(np.random.PCG64(seed_at(0, "subset")))
    order: list[int] = rng.permutation(num_images).tolist()
    return order
