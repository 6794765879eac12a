"""Reference augmentation: resizes the whole image, a new array per step, blurs over the full radius."""

import math

import numpy as np
import torch
import torch.nn.functional as F


def plain_view(image, label, *, seed, crop, scale, flip=0.5, blur=0.5, colour=0.0):
    """The expected result of ``augment`` without normalisation: values from 0 to 255 and train ids."""
    draws = np.random.Generator(np.random.PCG64(seed)).random(9).tolist()
    factor, top, left, mirrored, blurred, radius, *colours = draws
    factor = scale[0] + (scale[1] - scale[0]) * factor
    pixels, ids = torch.from_numpy(image).permute(2, 0, 1).contiguous(), torch.from_numpy(label)
    size = [max(1, int(side * factor + 0.5)) for side in label.shape]
    if size != list(label.shape):
        pixels = F.interpolate(pixels[None], size, mode="bilinear", antialias=True)[0]
        ids = F.interpolate(ids[None, None], size, mode="nearest-exact")[0, 0]
    height, width = (min(side, wanted) for side, wanted in zip(size, crop, strict=True))
    row, column = int(top * (size[0] - height + 1)), int(left * (size[1] - width + 1))
    window = (..., slice(row, row + height), slice(column, column + width))
    values, ids = pixels[window].float(), ids[window]
    if colour:
        values = _jittered(values, [1 + colour * (2 * draw - 1) for draw in colours])
    if blurred < blur:
        values = blurred_fully(values, radius)
    padding = (0, crop[1] - width, 0, crop[0] - height)
    values, ids = F.pad(values, padding), F.pad(ids.long(), padding, value=255)
    return (values.flip(-1), ids.flip(-1)) if mirrored < flip else (values, ids)


def _jittered(values, factors):
    brightness, contrast, saturation = factors
    values = (values * brightness).clamp(0, 255)
    mean = _grey(values).round().long().sum().item() / values[0].numel()
    values = (values * contrast + mean * (1 - contrast)).clamp(0, 255)
    return (values * saturation + _grey(values) * (1 - saturation)).clamp(0, 255)


def _grey(values):
    return values[0] * 0.299 + values[1] * 0.587 + values[2] * 0.114


def blurred_fully(values, radius):
    """Gaussian blur over three standard deviations."""
    reach = math.ceil(3 * radius)
    if reach == 0 or min(values.shape[-2:]) <= reach:
        return values
    weights = [math.exp(-((offset / radius) ** 2) / 2) for offset in range(-reach, reach + 1)]
    for axis in (-2, -1):
        padding = (reach, reach, 0, 0) if axis == -1 else (0, 0, reach, reach)
        padded = F.pad(values[None], padding, mode="reflect")[0]
        shifted = [padded.narrow(axis, offset, values.shape[axis]) for offset in range(2 * reach + 1)]
        values = sum(
            (part * (weight / sum(weights)) for part, weight in zip(shifted, weights, strict=True)),
            torch.zeros_like(values),
        )
    return values
