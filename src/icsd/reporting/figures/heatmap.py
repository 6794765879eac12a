"""Heat maps of class matrices."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Names = Literal["both", "below", "none"]
"""Where a heat map writes its class names."""


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
    sns.heatmap(
        matrix,
        ax=axis,
        vmin=low,
        vmax=high,
        cmap=cmap,
        square=True,
        cbar=False,
        annot=np.array([[write(float(value)) for value in row] for row in matrix])
        if len(classes) <= 12
        else None,
        fmt="",
        annot_kws={"fontsize": 8.5 if len(classes) <= 9 else 7.5},
        linewidths=0.4,
        linecolor="white",
        xticklabels=list(classes) if names != "none" else False,
        yticklabels=list(classes) if names == "both" else False,
    )
    for text in axis.texts:
        text.set_in_layout(False)  # they fit their cells; measuring each would take most of the time
    axis.tick_params(length=0, labelsize=10)
    axis.tick_params(axis="x", rotation=90)
    axis.tick_params(axis="y", rotation=0)
    axis.set_facecolor(to_rgb("#eeeeee"))
    axis.set_title(title)
