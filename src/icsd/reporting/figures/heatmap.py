"""Heat maps of class matrices."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Names = Literal["both", "below", "none"]
"""Where a heat map writes its class names."""
_LIGHT = 0.408
"""Relative luminance above which dark text is easier to read than white text."""


def heat_map(
    axis: Axes,
    matrix: Matrix,
    classes: Sequence[str],
    *,
    title: str,
    cmap: str,
    low: float,
    high: float,
    names: Names,
    write: Callable[[float], str],
) -> None:
    """Plot a heat map; with up to 12 classes, values are written into the cells.

    Args:
        axis: Axes to plot on.
        matrix: [C, C].
        classes: Names of the C classes.
        title: Title of the axes.
        cmap: Name of the colour map.
        low: Value of the scale's lower end.
        high: Value of its upper end.
        names: Where to write the class names.
        write: Formats a value as the text of its cell.
    """
    size = len(classes)
    axis.set_aspect("equal")
    for spine in axis.spines.values():
        spine.set_visible(False)
    values = np.ma.masked_where(np.isnan(matrix), matrix)
    cells = axis.pcolormesh(values, cmap=cmap, vmin=low, vmax=high, linewidths=0.4, edgecolor="white")
    middles = np.arange(size) + 0.5
    axis.set(xlim=(0, size), ylim=(size, 0))  # the first row on top
    axis.set_xticks(middles if names != "none" else [], classes if names != "none" else [])
    axis.set_yticks(middles if names == "both" else [], classes if names == "both" else [], va="center")
    if size <= 12:
        _write_values(axis, cells, values, write, fontsize=8.5 if size <= 9 else 7.5)
    for text in axis.texts:
        text.set_in_layout(False)  # they fit their cells; measuring each would take most of the time
    axis.tick_params(length=0, labelsize=10)
    axis.tick_params(axis="x", rotation=90)
    axis.tick_params(axis="y", rotation=0)
    axis.set_facecolor(to_rgb("#eeeeee"))
    axis.set_title(title)


def _write_values(
    axis: Axes,
    cells: QuadMesh,
    values: "np.ma.MaskedArray[tuple[int, int], np.dtype[np.float64]]",
    write: Callable[[float], str],
    *,
    fontsize: float,
) -> None:
    """Write every value into its cell, dark on light colours and white on dark ones; nothing where masked."""
    cells.update_scalarmappable()  # makes the face colours
    light = _relative_luminance(np.asarray(cells.get_facecolor())) > _LIGHT
    for index, (row, column) in enumerate(np.ndindex(values.shape)):
        if not np.ma.is_masked(values[row, column]):
            color = "0.15" if light[index] else "white"
            text = write(float(values[row, column]))
            axis.text(column + 0.5, row + 0.5, text, color=color, ha="center", va="center", fontsize=fontsize)


def _relative_luminance(colors: NDArray[np.float64]) -> NDArray[np.float64]:
    """How bright colours [N, 4] look, 0 to 1: WCAG 2, relative luminance of sRGB."""
    channels = colors[:, :3]
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance: NDArray[np.float64] = linear @ np.array([0.2126, 0.7152, 0.0722])
    return luminance
