"""Training on fewer images than there are."""

from typing import Literal

import numpy as np

from icsd.core.seeds import seed_at
from icsd.errors import UserError


def chosen_images(num_images: int, subset: int | Literal["all"], *, key: str) -> list[int]:
    """The indices of the images that train, in order.

    The choice depends on nothing but the number of images, so that all networks, whatever their seed and
    method, see the same ones, and a larger subset holds the smaller ones.

    Args:
        num_images: Of the training split.
        subset: How many are wanted.
        key: The parameter that asks for them, for the message.

    Raises:
        UserError: More images are wanted than there are.
    """
    if subset == "all":
        return list(range(num_images))
    if subset > num_images:
        raise UserError(
            f"{key}: asks for {subset} training images, but there are only {num_images}: give fewer, or all"
        )
    rng = np.random.Generator(np.random.PCG64(seed_at(0, "subset")))
    return sorted(rng.permutation(num_images)[:subset].tolist())
