"""Generated scenes: no download, the same bytes everywhere, and classes that resemble one another.

The eight kinds of objects form three families. Telling the families apart is easy: each has its own outline
and its own range of colours. Telling the members of a family apart is hard: they differ only in a fine
texture, in the direction of that texture relative to the object, or in the position of a small mark.
Occlusion, scale, rotation, light, noise, and a background with the same textures add to the difficulty.

Only operations that IEEE 754 rounds exactly are used (no sine, no exponential, no floating-point sums), so
that a scene depends on its seed only and not on a mathematics library.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from icsd.core.labels import IGNORE, Pixels
from icsd.core.seeds import seed_at
from icsd.datasets.base import Colour

_Plane = NDArray[np.float64]

_DISC, _BLOCK, _WEDGE = range(3)
_FAMILIES = (_DISC, _DISC, _DISC, _BLOCK, _BLOCK, _BLOCK, _WEDGE, _WEDGE)  # family of classes 1 to 8
_BASE_COLOURS = np.array([(178, 92, 76), (84, 120, 170), (98, 150, 84)])  # per family; members share it
_COLOUR_SPREAD = 46


class Shapes:
    """The generated dataset; the preset sets the sizes of its splits, which are not published."""

    name = "shapes"
    classes: tuple[str, ...] = (
        "background",
        "disc striped",
        "disc checked",
        "disc ringed",
        "block end",
        "block centre",
        "block both",
        "wedge along",
        "wedge across",
    )
    palette: tuple[Colour, ...] = (
        (40, 40, 40),
        (240, 90, 60),
        (250, 160, 60),
        (250, 220, 90),
        (50, 90, 220),
        (70, 170, 240),
        (150, 110, 230),
        (50, 160, 70),
        (170, 220, 90),
    )
    split_sizes: Mapping[str, int] = {}
    labels_sha256: Mapping[str, str] = {}
    licence = "generated, no restrictions"
    homepage = ""


class _Pose(NamedTuple):
    """An object's pose: centre, direction (cos, sin) of its axis, and radius, in pixels."""

    row: float
    column: float
    cosine: float
    sine: float
    radius: float


def generate(split: str, index: int, *, seed: int, size: int = 96) -> tuple[Pixels, Pixels]:
    """Scene ``index`` of a split: image uint8 [size, size, 3], label uint8 [size, size] (0 to 8, or 255)."""
    rng = np.random.Generator(np.random.PCG64(seed_at(seed, "shapes", split, index)))
    image = _background(rng, size)
    label = np.zeros((size, size), dtype=np.uint8)
    area = size * size / (96 * 96)
    for _ in range(int(rng.integers(round(4 * area), round(6 * area) + 1))):
        _paint(image, label, rng)
    return _photograph(image, rng), label


def _background(rng: np.random.Generator, size: int) -> _Plane:
    """Soft patches of a dull colour, a few of them textured like the objects."""
    image = np.empty((size, size, 3))
    image[:] = rng.integers(70, 170, size=3)
    image += _soft_noise(rng, size, cell=24, amplitude=40)[:, :, None]
    image += _soft_noise(rng, size, cell=6, amplitude=18)[:, :, None]
    for _ in range(int(rng.integers(2, 5))):
        pose = _draw_pose(rng, size)
        rows, columns = _window(pose, size, reach=1.3 * pose.radius)
        along, across = _own_coordinates(pose, rows, columns)
        period = _uniform(rng, 6, 10)
        texture = (_stripes, _checks, _rings)[int(rng.integers(3))](along, across, period)
        inside = np.abs(along) + np.abs(across) < 1.3 * pose.radius
        image[rows, columns] += (_uniform(rng, 8, 26) * texture * inside)[:, :, None]
    return image


def _paint(image: _Plane, label: Pixels, rng: np.random.Generator) -> None:
    """Paints one object of a random class in front of the others."""
    number = int(rng.integers(1, len(_FAMILIES) + 1))
    family = _FAMILIES[number - 1]
    pose = _draw_pose(rng, len(label))
    rows, columns = _window(pose, len(label), reach=1.6 * pose.radius)
    along, across = _own_coordinates(pose, rows, columns)
    distance = _outline(family, along, across, pose.radius, stretch=_uniform(rng, 0.0, 1.0))
    contrast = _uniform(rng, 44, 72)
    pattern = _pattern(number, along, across, pose.radius, period=_uniform(rng, 7, 11))
    colour = _BASE_COLOURS[family] + _COLOUR_SPREAD * (2 * rng.random(3) - 1)
    shade = _uniform(rng, -0.8, 0.8) * along + _uniform(rng, -0.8, 0.8) * across
    inside = distance < 0
    np.copyto(
        image[rows, columns], colour + (contrast * pattern + shade)[:, :, None], where=inside[:, :, None]
    )
    np.copyto(label[rows, columns], np.uint8(number), where=inside)
    if rng.integers(2):  # half of the objects get the border that annotators leave undecided
        np.copyto(label[rows, columns], np.uint8(IGNORE), where=np.abs(distance) < 0.7)


def _photograph(image: _Plane, rng: np.random.Generator) -> Pixels:
    """Light from one side, exposure, a colour cast, and sensor noise."""
    size = len(image)
    ramp = np.arange(size) / size - 0.5
    light = (
        _uniform(rng, 0.75, 1.2) + _uniform(rng, -0.4, 0.4) * ramp[:, None] + _uniform(rng, -0.4, 0.4) * ramp
    )
    cast = rng.integers(-12, 13, size=3)
    layers = np.frombuffer(rng.bytes(4 * image.size), dtype=np.uint8).reshape(4, *image.shape)
    grain = layers.sum(axis=0, dtype=np.int16) - 510
    strength = _uniform(rng, 3, 8) / 148  # the sum of four bytes has a standard deviation of 148
    photograph: _Plane = image * light[:, :, None] + cast + strength * grain
    return np.clip(photograph, 0, 255).astype(np.uint8)


def _outline(family: int, along: _Plane, across: _Plane, radius: float, *, stretch: float) -> _Plane:
    """Roughly the distance to the outline in pixels, negative inside; ``stretch`` (0 to 1) varies it."""
    if family == _DISC:
        ellipse: _Plane = np.sqrt(along * along + across * across * (1 + 0.6 * stretch)) - 0.85 * radius
        return ellipse
    if family == _BLOCK:
        return np.maximum(np.abs(along) - 1.15 * radius, np.abs(across) - (0.5 + 0.2 * stretch) * radius)
    slope = 0.4 + 0.2 * stretch
    sides: _Plane = (np.abs(across) + slope * (along - 1.3 * radius)) / np.sqrt(1 + slope * slope)
    return np.maximum(sides, -along - 0.8 * radius)


def _pattern(number: int, along: _Plane, across: _Plane, radius: float, *, period: float) -> _Plane:
    """The pattern in which the members of a family differ, between −1 and 1."""
    if number == 1:
        return _stripes(along, across, period)
    if number == 2:
        return _checks(along, across, period)
    if number == 3:
        return _rings(along, across, period)
    if number in {4, 5, 6}:
        places = {4: (0.75,), 5: (0.0,), 6: (-0.75, 0.75)}[number]
        marks = [np.abs(along - place * radius) < 0.25 * radius for place in places]
        return np.where(np.logical_or.reduce(marks), -1.0, 0.3)
    return _stripes(across, along, period) if number == 7 else _stripes(along, across, period)


def _stripes(along: _Plane, across: _Plane, period: float) -> _Plane:
    return 1.0 - 2.0 * (np.floor(2 * along / period) % 2)


def _checks(along: _Plane, across: _Plane, period: float) -> _Plane:
    return _stripes(along, across, period) * _stripes(across, along, period)


def _rings(along: _Plane, across: _Plane, period: float) -> _Plane:
    return _stripes(np.sqrt(along * along + across * across), across, period)


def _draw_pose(rng: np.random.Generator, size: int) -> _Pose:
    """Random position, direction (within 62° of rightwards) and radius (15 to 28 pixels, mostly small)."""
    half = _uniform(rng, -0.6, 0.6)  # tangent of half an angle between −62° and 62°
    cosine, sine = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
    radius = 15 + 13 * _uniform(rng, 0, 1) * _uniform(rng, 0.4, 1)
    return _Pose(size * float(rng.random()), size * float(rng.random()), cosine, sine, radius)


def _window(pose: _Pose, size: int, *, reach: float) -> tuple[slice, slice]:
    """The part of the scene that the object can touch; computing only this part saves most of the time."""
    return (
        slice(max(0, int(pose.row - reach)), min(size, int(pose.row + reach) + 2)),
        slice(max(0, int(pose.column - reach)), min(size, int(pose.column + reach) + 2)),
    )


def _own_coordinates(pose: _Pose, rows: slice, columns: slice) -> tuple[_Plane, _Plane]:
    """Pixel positions in the window, measured along the object's axis and across it."""
    down = np.arange(rows.start, rows.stop)[:, None] - pose.row
    right = np.arange(columns.start, columns.stop)[None, :] - pose.column
    return right * pose.cosine + down * pose.sine, down * pose.cosine - right * pose.sine


def _soft_noise(rng: np.random.Generator, size: int, *, cell: int, amplitude: int) -> _Plane:
    """Random values on a coarse grid, linearly interpolated, [size, size] within ±amplitude."""
    num_cells = size // cell + 2
    grid = rng.integers(-amplitude, amplitude + 1, size=(num_cells, num_cells))
    whole, part = np.arange(size) // cell, (np.arange(size) % cell) / cell
    rows = grid[whole] * (1 - part)[:, None] + grid[whole + 1] * part[:, None]
    return rows[:, whole] * (1 - part) + rows[:, whole + 1] * part


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(rng.random())
