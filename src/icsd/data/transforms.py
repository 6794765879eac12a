"""Images and labels to tensors. Random draws use the sample's own seed, never a global generator."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from icsd.core.labels import IGNORE, Pixels
from icsd.core.normalisation import IMAGENET_MEAN, IMAGENET_STD, Statistics
from icsd.data.colours import change_colours, gaussian_blur, normalise
from icsd.data.resizing import Window, resized_image, resized_label, scaled_size


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

    Random scale, crop, flip and blur, as in the DeepLab code that AICSD trains with. Unlike there, padding is
    the mean colour (0 after normalisation) and is labelled as ignored, not as background.

    Args:
        image: uint8 [h, w, 3].
        label: uint8 [h, w], train ids or 255.
        seed: Seed of all draws; one per epoch and sample.
        crop: Height and width of the result.
        scale: Range of the random size factor.
        input_scale: Size factor of every image of the dataset (in training and evaluation).
        flip: Probability of a horizontal flip.
        blur: Probability of a Gaussian blur with a radius from U[0, 1].
        colour: Largest relative change of brightness, contrast and saturation; 0 for none.
        mean: Mean per channel, for pixel values in [0, 1].
        std: Standard deviation per channel, for pixel values in [0, 1].
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    # All draws come first, in a fixed order, so that switching one option off does not change the others.
    factor, top, left, mirror, blurred, radius, *colours = rng.random(9).tolist()
    factor = (scale[0] + (scale[1] - scale[0]) * factor) * input_scale
    size = scaled_size(label.shape, factor)
    window, mirrored = _window(size, crop, top, left), mirror < flip
    ids = resized_label(label, size, window, mirrored=mirrored)
    values = _floats(resized_image(image, size, window), mirrored=mirrored)
    if colour:
        change_colours(values, [1 + colour * (2 * draw - 1) for draw in colours])
    if blurred < blur:
        values = gaussian_blur(values, radius)
    normalise(values, mean, std)
    return _padded(values, ids, crop, mirrored=mirrored)


def prepare(
    image: Pixels,
    *,
    input_scale: float = 1.0,
    mean: Statistics = IMAGENET_MEAN,
    std: Statistics = IMAGENET_STD,
) -> Float[Tensor, "3 H W"]:
    """The whole image for evaluation. Labels are not resized: metrics are computed at their resolution."""
    size = scaled_size(image.shape[:2], input_scale)
    values = _floats(resized_image(image, size, Window(0, 0, *size)), mirrored=False)
    normalise(values, mean, std)
    return values


def _window(size: tuple[int, int], crop: tuple[int, int], top: float, left: float) -> Window:
    """A window of at most ``crop``; ``top`` and ``left`` in [0, 1) choose among the possible positions."""
    height, width = (min(side, wanted) for side, wanted in zip(size, crop, strict=True))
    return Window(int(top * (size[0] - height + 1)), int(left * (size[1] - width + 1)), height, width)


def _floats(pixels: Tensor, *, mirrored: bool) -> Tensor:
    """Pixels as a contiguous float32 tensor [3, H, W], whatever their memory layout was."""
    values = torch.empty(pixels.shape)
    return values.copy_(pixels.flip(-1) if mirrored else pixels)


def _padded(values: Tensor, ids: Pixels, crop: tuple[int, int], *, mirrored: bool) -> tuple[Tensor, Tensor]:
    """Pad image and labels to the crop's size, at the bottom and right of the image before mirroring."""
    labels = torch.from_numpy(ids)
    below, beside = (wanted - side for side, wanted in zip(labels.shape, crop, strict=True))
    if not (below or beside):
        return values, labels.long()
    padding = (beside, 0, 0, below) if mirrored else (0, beside, 0, below)
    return F.pad(values, padding, value=0.0), F.pad(labels, padding, value=IGNORE).long()
