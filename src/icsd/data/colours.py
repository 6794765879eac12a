"""Colour and sharpness changes of an image, in place because memory traffic dominates their time."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from icsd.core.normalisation import Statistics

_NEGLIGIBLE = 1 / 2048
"""Share of a blur's weights that is left out, an eighth of an 8-bit step at a hard edge."""


def change_colours(values: Float[Tensor, "3 H W"], factors: list[float]) -> None:
    """Scale brightness, contrast and saturation in place (1: no change). Values stay within [0, 255]."""
    brightness, contrast, saturation = factors
    values.mul_(brightness).clamp_(0, 255)
    # A sum of integers is exact in any order, so the mean does not depend on the number of threads.
    mean = _grey(values).round_().sum(dtype=torch.float64).item() / values[0].numel()
    values.mul_(contrast).add_(mean * (1 - contrast)).clamp_(0, 255)
    grey = _grey(values).mul_(1 - saturation)
    values.mul_(saturation).add_(grey).clamp_(0, 255)


def _grey(values: Tensor) -> Tensor:
    """Luma of ITU-R BT.601, the usual grey in image processing."""
    return (values[0] * 0.299).add_(values[1] * 0.587).add_(values[2] * 0.114)


def gaussian_blur(values: Float[Tensor, "3 H W"], radius: float) -> Float[Tensor, "3 H W"]:
    """Blur with standard deviation ``radius`` pixels, as sums of shifted images, one axis after the other.

    A convolution would do the same, but its rounding may depend on the number of threads, which differs
    between loader workers (one) and the main process.
    """
    weights = _weights(radius)
    reach = len(weights) - 1
    if reach == 0 or min(values.shape[-2:]) <= reach:
        return values
    for axis in (-2, -1):
        padding = (reach, reach, 0, 0) if axis == -1 else (0, 0, reach, reach)
        padded = F.pad(values[None], padding, mode="reflect")[0]
        length = values.shape[axis]
        blurred = padded.narrow(axis, reach, length) * weights[0]
        for offset, weight in enumerate(weights[1:], 1):
            for begin in (reach - offset, reach + offset):
                blurred.add_(padded.narrow(axis, begin, length), alpha=weight)
        values = blurred
    return values


def _weights(radius: float) -> list[float]:
    """Weights of a pixel and its neighbours at increasing distance, without negligible ones."""
    reach = math.ceil(3 * radius)
    far = [math.exp(-((offset / radius) ** 2) / 2) for offset in range(1, reach + 1)]
    total = 1 + 2 * sum(far)
    while far and 2 * far[-1] < _NEGLIGIBLE * total:
        total -= 2 * far.pop()
    return [1 / total, *(weight / total for weight in far)]


def normalise(values: Float[Tensor, "3 H W"], mean: Statistics, std: Statistics) -> None:
    """Subtract each channel's mean and divide by its standard deviation; both are for values in [0, 1]."""
    values.sub_(_per_channel(mean)).div_(_per_channel(std))


def _per_channel(statistics: Statistics) -> Tensor:
    return torch.tensor(statistics).view(3, 1, 1) * 255
