"""Pictures of a run while it trains. They show its numbers and cannot change them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Matrix = NDArray[np.float32]


def ics_picture(student: Matrix, teacher: Matrix, classes: Sequence[str], *, title: str) -> "Figure":
    """Student, teacher, and their difference, on scales that the teacher sets, so that epochs compare.

    About as high as wide: MLflow puts pictures into squares.

    Args:
        student: [C, C], row i, column j: KL(class i ‖ class j) of the spatial distributions, in nats.
        teacher: [C, C].
        classes: Names of the C classes.
        title: What and when it is.
    """
    from icsd.reporting.figures.canvas import empty_figure, set_title, styled

    @styled
    def draw() -> "Figure":
        top = float(teacher.max()) or 1.0
        side = max(3.6, 0.2 * len(classes) + 1.6)
        figure = empty_figure(2 * side + 1.2, 2 * side + 0.6)
        panels = (
            ("Student", student, "viridis", (0.0, top)),
            ("Teacher", teacher, "viridis", (0.0, top)),
            ("Student − teacher", student - teacher, "PuOr", (-top / 2, top / 2)),
        )
        for index, (name, matrix, cmap, (low, high)) in enumerate(panels):
            axis = figure.add_subplot(2, 2, index + 1)
            shown = axis.imshow(matrix, cmap=cmap, vmin=low, vmax=high)
            axis.set_title(name)
            axis.grid(visible=False)
            ticks = range(len(classes))
            axis.set_xticks(ticks, classes, rotation=90, fontsize=8)
            axis.set_yticks(ticks, [] if index == 1 else classes, fontsize=8)
            if index:
                label = "difference, nats" if index == 2 else "KL(row ‖ column), nats"
                figure.colorbar(
                    shown, ax=axis, shrink=0.8, label=label, extend="both" if index == 2 else "max"
                )
        set_title(figure, title)
        return figure

    return draw()
