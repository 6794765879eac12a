"""Inter-class similarity matrices of teacher and students."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from icsd.reporting.figures.canvas import empty_figure, set_title, styled
from icsd.reporting.figures.heatmap import Matrix, heat_map
from icsd.reporting.style import DIVERGING, LESS, MORE


@styled
def similarity_matrices(
    teacher: Matrix, students: Mapping[str, Matrix], classes: Sequence[str], *, student: str
) -> Figure:
    """Similarity matrices on one scale; below them, the difference of each method's matrix to the teacher's.

    Args:
        teacher: [C, C], row i, column j: KL(class i ‖ class j) of the spatial distributions.
        students: Label -> [C, C].
        classes: Names of the C classes.
        student: The student network's name, for the title.
    """
    differences = {label: matrix - teacher for label, matrix in students.items()}
    # With a few outliers in the scale, the rest would have one colour; arrows on the colour bars mark these.
    top = float(np.percentile(np.stack([teacher, *students.values()]), 98)) or 1.0
    reach = float(np.percentile(np.abs(np.stack(list(differences.values()))), 98)) or 1.0
    columns = 1 + len(students)
    side = max(4.4, 0.2 * len(classes) + 1.5)
    figure = empty_figure(side * columns + 1.0, 2 * side + 0.7, pad=0.1)
    upper = [figure.add_subplot(2, columns, index + 1) for index in range(columns)]
    _explain(figure, 2, columns, columns + 1)
    lower = [figure.add_subplot(2, columns, columns + 1 + index) for index in range(1, columns)]
    for axis, (label, matrix) in zip(upper, [("Teacher", teacher), *students.items()], strict=True):
        heat_map(
            axis,
            matrix,
            classes,
            title=label,
            cmap="viridis",
            low=0,
            high=top,
            # The student columns have their class names below the lower row.
            names="both" if axis is upper[0] else "none",
            write=short_number,
        )
    for axis, (label, matrix) in zip(lower, differences.items(), strict=True):
        heat_map(
            axis,
            matrix,
            classes,
            title=f"{label} − teacher\n(RMS {np.sqrt(np.mean(matrix**2)):.3g})",
            cmap=DIVERGING,
            low=-reach,
            high=reach,
            names="both" if axis is lower[0] else "below",
            write=short_number,
        )
    figure.colorbar(upper[-1].collections[0], ax=upper, extend="max", shrink=0.85, label="KL(row ‖ column)")
    figure.colorbar(lower[-1].collections[0], ax=lower, extend="both", shrink=0.85, label="difference")
    set_title(
        figure, f"Inter-class similarity, {student}: top on one scale, below the difference to the teacher"
    )
    return figure


def _explain(figure: Figure, rows: int, columns: int, index: int) -> None:
    axis = figure.add_subplot(rows, columns, index)
    axis.set_axis_off()
    text = (
        "Row i, column j: KL(class i ‖ class j),\nhow far apart a network places\n"
        "the two classes in an image.\n0: in the same place.\n\n"
        f"Right: student minus teacher.\n{MORE.capitalize()}: too far apart, {LESS}: too close,\n"
        "white: as in the teacher."
    )
    axis.text(0, 0.95, text, va="top", fontsize=12, linespacing=1.5, transform=axis.transAxes)


def short_number(value: float) -> str:
    """At most four characters, so that it fits a cell: 5.7, −1.4, .8, 12."""
    text = f"{value:.1f}" if abs(value) < 9.95 else f"{value:.0f}"
    if float(text) == 0:
        return "0"
    return text.replace("-", "−").replace("0.", ".")
