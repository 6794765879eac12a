"""Resizing of images and labels, as a whole or only within a window."""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from icsd.core.labels import Pixels

_ALONE_COSTS = 3
"""Cost per pixel of resizing only a window, relative to resizing the whole image."""


class Window(NamedTuple):
    """A part of the resized image, in pixels of the resized image."""

    row: int
    column: int
    height: int
    width: int


def scaled_size(side_lengths: tuple[int, int], factor: float) -> tuple[int, int]:
    """Height and width times a factor, at least 1; halves round up, as in exported models."""
    height, width = (max(1, int(side * factor + 0.5)) for side in side_lengths)
    return height, width


def resized_image(image: Pixels, size: tuple[int, int], window: Window) -> UInt8[Tensor, "3 h w"]:
    """A window of the image [H, W, 3] resized to ``size``, bilinearly with antialiasing.

    Torch resizes faster than Pillow, but only whole images. If the window is small, Pillow resizes only the
    pixels under it, with the same weights: the two differ at most by rounding.

    Returns:
        The window, channels first, but with the image's memory layout (channels last).
    """
    if image.shape[:2] == size:
        return _cropped(_channels_first(image), window)
    if _ALONE_COSTS * window.height * window.width < size[0] * size[1]:
        return _channels_first(_window_alone(image, size, window))
    # As a batch of one, the image is in torch's channels_last format, so nothing is copied.
    whole = F.interpolate(_channels_first(image)[None], list(size), mode="bilinear", antialias=True)[0]
    return _cropped(whole, window)


def resized_label(label: Pixels, size: tuple[int, int], window: Window, *, mirrored: bool) -> Pixels:
    """A window of the label [H, W] resized to ``size`` by nearest neighbour, sampled at pixel centres.

    Bilinear resizing also samples at centres, so image and label stay aligned.
    """
    rows = _nearest(label.shape[0], size[0], window.row, window.height)
    columns = _nearest(label.shape[1], size[1], window.column, window.width)
    nearest: Pixels = label.take(rows, axis=0).take(columns[::-1] if mirrored else columns, axis=1)
    return nearest


def _nearest(old: int, new: int, begin: int, length: int) -> NDArray[np.intp]:
    centres = np.arange(begin, begin + length, dtype=np.float32) + np.float32(0.5)
    nearest: NDArray[np.intp] = np.minimum(centres * np.float32(old / new), old - 1).astype(np.intp)
    return nearest


def _window_alone(image: Pixels, size: tuple[int, int], window: Window) -> Pixels:
    vertical = _source(image.shape[0], size[0], window.row, window.height)
    horizontal = _source(image.shape[1], size[1], window.column, window.width)
    part = Image.fromarray(image[vertical.begin : vertical.end, horizontal.begin : horizontal.end])
    box = (horizontal.low, vertical.low, horizontal.high, vertical.high)
    return np.array(part.resize((window.width, window.height), Image.Resampling.BILINEAR, box))


class _Source(NamedTuple):
    """The pixels of the image that one side of a window is computed from.

    Attributes:
        begin: First pixel that is used.
        end: One past the last pixel that is used.
        low: Start of the window, in (fractional) pixels from ``begin``.
        high: End of the window, in (fractional) pixels from ``begin``.
    """

    begin: int
    end: int
    low: float
    high: float


def _source(old: int, new: int, begin: int, length: int) -> _Source:
    shrink = old / new
    low, high = begin * shrink, (begin + length) * shrink
    reach = math.ceil(max(shrink, 1.0))  # half-width of the triangle filter
    first, end = max(0, math.floor(low) - reach), min(old, math.ceil(high) + reach)
    # The product may be rounded up beyond the end of the image.
    return _Source(first, end, low - first, min(high, old) - first)


def _channels_first(image: Pixels) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)


def _cropped(pixels: Tensor, window: Window) -> Tensor:
    return pixels[:, window.row : window.row + window.height, window.column : window.column + window.width]
