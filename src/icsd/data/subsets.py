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
    rng = np.random.Generator(np.random.PCG64(seed_at(0, "subset")))
    return sorted(rng.permutation(num_images)[:subset].tolist())
