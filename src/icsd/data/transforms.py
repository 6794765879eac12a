"""Images and labels -> tensors. Every draw comes from the sample's own seed; no global generator is used."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from icsd.core.labels import IGNORE, Pixels
from icsd.core.normalisation import IMAGENET_MEAN, IMAGENET_STD, Statistics


def augment(
    image: Pixels,
    label: Pixels,
    *,
    seed: int,
    crop: tuple[int, int],
    scale: tuple[float, float] = (0.5, 2.0),
    input_scale: float = 1.0,
    flip: float = 0.5,
    blur: float = 0.5,
    colour: float = 0.0,
    mean: Statistics = IMAGENET_MEAN,
    std: Statistics = IMAGENET_STD,
) -> tuple[Float[Tensor, "3 H W"], Int[Tensor, "H W"]]:
    """A random view of one training sample; the same seed gives the same bytes.

    As in the DeepLab code that AICSD trains with: random scale, crop, flip and blur. Unlike there, padding is
    the mean colour (0 after normalisation) and is labelled ignored, not background.

    Args:
        image: uint8 [h, w, 3].
        label: uint8 [h, w], train ids or 255.
        seed: of all draws; one per epoch and sample.
        crop: height and width of the result.
        scale: range of the random size factor.
        input_scale: size factor of every image of the dataset (training and evaluation alike).
        flip: probability of mirroring left and right.
        blur: probability of a Gaussian blur with a radius from U[0, 1].
        colour: largest relative change of brightness, contrast and saturation; 0 for none.
        mean: per channel, of pixel values in [0, 1].
        std: per channel.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    # All draws first, in one order: switching one option off does not change what the others do.
    factor, top, left, mirrored, blurred, radius, *colours = rng.random(9).tolist()
    factor = (scale[0] + (scale[1] - scale[0]) * factor) * input_scale
    pixels, ids = _resize(_channels_first(image), torch.from_numpy(label), factor)
    pixels, ids = _crop(pixels, ids, crop, top, left)
    values = pixels.float()
    if colour:
        values = _change_colours(values, [1 + colour * (2 * draw - 1) for draw in colours])
    if blurred < blur:
        values = _gaussian_blur(values, radius)
    values, ids = _pad(_normalise(values, mean, std), ids.long(), crop)
    if mirrored < flip:
        values, ids = values.flip(-1), ids.flip(-1)
    return values.contiguous(), ids.contiguous()


def prepare(
    image: Pixels,
    *,
    input_scale: float = 1.0,
    mean: Statistics = IMAGENET_MEAN,
    std: Statistics = IMAGENET_STD,
) -> Float[Tensor, "3 H W"]:
    """The whole image for evaluation. The label is not touched: numbers are taken at its own resolution."""
    pixels = _channels_first(image)
    if input_scale != 1.0:
        pixels = _resize_image(pixels, _scaled_size(pixels, input_scale))
    return _normalise(pixels.float(), mean, std)


def _channels_first(image: Pixels) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1).contiguous()


def _resize(pixels: Tensor, ids: Tensor, factor: float) -> tuple[Tensor, Tensor]:
    size = _scaled_size(pixels, factor)
    if size == list(ids.shape):
        return pixels, ids
    # "nearest-exact" samples at pixel centres, as bilinear does; "nearest" is shifted by up to half a pixel.
    ids = F.interpolate(ids[None, None], size, mode="nearest-exact")[0, 0]
    return _resize_image(pixels, size), ids


def _resize_image(pixels: Tensor, size: list[int]) -> Tensor:
    return F.interpolate(pixels[None], size, mode="bilinear", antialias=True)[0]


def _scaled_size(pixels: Tensor, factor: float) -> list[int]:
    # Halves go up: exported models compute the same, and cannot round to the even neighbour.
    return [max(1, int(side * factor + 0.5)) for side in pixels.shape[-2:]]


def _crop(
    pixels: Tensor, ids: Tensor, crop: tuple[int, int], top: float, left: float
) -> tuple[Tensor, Tensor]:
    """At most ``crop`` large; ``top`` and ``left`` in [0, 1) choose among the possible places."""
    height, width = (min(side, wanted) for side, wanted in zip(ids.shape, crop, strict=True))
    row, column = int(top * (ids.shape[0] - height + 1)), int(left * (ids.shape[1] - width + 1))
    window = (..., slice(row, row + height), slice(column, column + width))
    return pixels[window], ids[window]


def _pad(values: Tensor, ids: Tensor, crop: tuple[int, int]) -> tuple[Tensor, Tensor]:
    below, right = (wanted - side for side, wanted in zip(ids.shape, crop, strict=True))
    padding = (0, right, 0, below)
    return (
        F.pad(values, padding, value=0.0),
        F.pad(ids, padding, value=IGNORE),
    )


def _change_colours(values: Tensor, factors: list[float]) -> Tensor:
    """Factors of brightness, contrast and saturation; 1 changes nothing. Values stay within 0 and 255."""
    brightness, contrast, saturation = factors
    values = (values * brightness).clamp(0, 255)
    # The mean of whole numbers is exact, whatever the order (and so the number of threads) it is summed in.
    mean = _grey(values).round().long().sum().item() / values[0].numel()
    values = (values * contrast + mean * (1 - contrast)).clamp(0, 255)
    return (values * saturation + _grey(values) * (1 - saturation)).clamp(0, 255)


def _grey(values: Tensor) -> Tensor:
    """Luma of ITU-R BT.601, as everywhere in image processing."""
    return values[0] * 0.299 + values[1] * 0.587 + values[2] * 0.114


def _gaussian_blur(values: Tensor, radius: float) -> Tensor:
    """Blur with standard deviation ``radius``, as products and sums of shifted images.

    A convolution would do the same, but its rounding may depend on the number of threads; workers have one.
    """
    reach = math.ceil(3 * radius)
    if reach == 0 or min(values.shape[-2:]) <= reach:
        return values
    weights = [math.exp(-((offset / radius) ** 2) / 2) for offset in range(-reach, reach + 1)]
    for axis in (-2, -1):
        padding = (reach, reach, 0, 0) if axis == -1 else (0, 0, reach, reach)
        padded = F.pad(values[None], padding, mode="reflect")[0]
        length = values.shape[axis]
        blurred = torch.zeros_like(values)
        for offset, weight in enumerate(weights):
            blurred += padded.narrow(axis, offset, length) * (weight / sum(weights))
        values = blurred
    return values


def _normalise(values: Tensor, mean: Statistics, std: Statistics) -> Tensor:
    centre = torch.tensor(mean).view(3, 1, 1) * 255
    spread = torch.tensor(std).view(3, 1, 1) * 255
    return (values - centre) / spread
