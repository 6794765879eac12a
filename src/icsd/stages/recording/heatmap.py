"""Heat maps by numpy and Pillow: Matplotlib needs half a second per picture, this a twentieth of that."""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Matrix = NDArray[np.float32]
Font = ImageFont.FreeTypeFont

# Equally spaced colours, with linear interpolation between them: viridis (CC0), and ColorBrewer's PuOr.
RISING = "440154 482475 414487 355f8d 2a788e 21918c 22a884 44bf70 7ad151 bddf26 fde725"
DIVERGING = "7f3b08 b35806 e08214 fdb863 fee0b6 f7f7f7 d8daeb b2abd2 8073ac 542788 2d004b"
INK, FAINT = "#222222", "#888888"
_SMALLEST_TEXT, _LARGEST_TEXT = 9, 13
_TICK = 7
SCALE = 56
"""Width of a colour bar, in pixels."""


def heatmap(matrix: Matrix, *, colours: str, low: float, high: float, side: int) -> Image.Image:
    """Draw a matrix [C, C] as a heat map, ``side`` pixels wide.

    Values are written into the cells if they fit. If there are more cells than pixels, neighbours are
    averaged.
    """
    size = len(matrix)
    scaled = (np.nan_to_num(np.clip(matrix, low, high), nan=low) - low) / (high - low)
    entries = _table(colours)[(255 * scaled).round().astype(np.uint8)]
    how = Image.Resampling.BOX if size > side else Image.Resampling.NEAREST
    image = Image.fromarray(entries).resize((side, side), how)
    cell = side / size
    texts = (
        {place: _three_digits(float(value)) for place, value in np.ndenumerate(matrix)} if cell > 20 else {}
    )
    if texts and (text_font := _fitting(max(texts.values(), key=len), cell - 4)) is not None:
        draw = ImageDraw.Draw(image)
        dark = entries @ np.array([0.299, 0.587, 0.114]) < 140
        for (row, column), text in texts.items():
            place = ((column + 0.5) * cell, (row + 0.5) * cell)
            colour = "white" if dark[row, column] else "black"
            draw.text(place, text, fill=colour, font=text_font, anchor="mm")
    return image


def scale(*, colours: str, low: float, high: float, height: int, below: bool) -> Image.Image:
    """Draw a colour bar with its values; ≥ and ≤ mark ends whose colour also stands for values beyond."""
    text_font = font(11)
    image = Image.new("RGB", (SCALE, height), "white")
    ramp = _table(colours)[::-1][np.linspace(0, 255, height - 12).round().astype(int)]
    image.paste(Image.fromarray(np.repeat(ramp[:, None], 14, axis=1)), (0, 6))
    draw = ImageDraw.Draw(image)
    for part in range(5):
        value = high - part * (high - low) / 4
        sign = "≥ " if part == 0 else "≤ " if part == 4 and below else ""
        y = 6 + part * (height - 13) // 4
        draw.line((14, y, 17, y), fill=INK)
        draw.text((20, y), f"{sign}{value:.2g}".replace("-", "−"), fill=INK, font=text_font, anchor="lm")
    return image


def labels(names: Sequence[str], *, cell: float, length: int) -> Image.Image:
    """Draw names from top to bottom, one every ``cell`` pixels, right-aligned in ``length`` pixels.

    If they would overlap, only every second name is drawn, or fewer. Rotated by 90°, they label the columns.
    """
    step = max(1, int(np.ceil((_SMALLEST_TEXT + 2) / cell)))
    text_font = font(int(np.clip(cell * step - 2, _SMALLEST_TEXT, _LARGEST_TEXT)))
    image = Image.new("RGB", (length, max(1, round(cell * len(names)))), "white")
    draw = ImageDraw.Draw(image)
    for index in range(0, len(names), step):
        y = (index + 0.5) * cell
        draw.line((length - 4, y, length, y), fill=FAINT)
        text = shortened(names[index], text_font, length - _TICK - 2)
        y = np.clip(y, _SMALLEST_TEXT / 2 + 1, image.height - _SMALLEST_TEXT / 2 - 1)
        draw.text((length - _TICK, y), text, fill=INK, font=text_font, anchor="rm")
    return image


def length_of(names: Sequence[str], *, at_most: int) -> int:
    """Width that the labels need, in pixels."""
    return min(at_most, _TICK + 3 + round(max(font(_LARGEST_TEXT).getlength(name) for name in names)))


def shortened(text: str, text_font: Font, length: int) -> str:
    """The text, cut with an ellipsis if it is longer than ``length`` pixels."""
    kept = text
    while kept and text_font.getlength(kept if kept == text else f"{kept}…") > length:
        kept = kept[:-1]
    return kept if kept == text else f"{kept}…"


@cache
def font(size: int, *, bold: bool = False) -> Font:
    """DejaVu Sans, as in the report's figures; it ships with Matplotlib, which is not imported."""
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / name), size)


def _three_digits(value: float) -> str:
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f}".replace("-", "−")


def _fitting(text: str, width: float) -> Font | None:
    sizes = range(_LARGEST_TEXT, _SMALLEST_TEXT - 1, -1)
    return next((font(size) for size in sizes if font(size).getlength(text) <= width), None)


@cache
def _table(colours: str) -> NDArray[np.uint8]:
    """The 256 colours of a scale."""
    anchors = np.array([list(bytes.fromhex(colour)) for colour in colours.split()], float)
    places = np.linspace(0, len(anchors) - 1, 256)
    channels = [np.interp(places, np.arange(len(anchors)), channel) for channel in anchors.T]
    return np.stack(channels, axis=1).round().astype(np.uint8)
