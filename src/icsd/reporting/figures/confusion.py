"""Confusion matrices."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from icsd.reporting.figures.canvas import empty_figure, set_title, styled
from icsd.reporting.figures.heatmap import Matrix, heat_map


@styled
def confusion(matrices: Mapping[str, Matrix], classes: Sequence[str], *, student: str) -> Figure:
    """Row-normalised confusion: of a class's pixels (row), the percentage predicted as each class (column).

    Args:
        matrices: Label -> [C, C] counts, rows = truth.
        classes: Names of the C classes.
        student: The student network's name, for the title.
    """
    side = max(4.2, 0.22 * len(classes) + 1.6)
    figure = empty_figure(side * len(matrices) + 0.8, side + 0.7)
    axes = [figure.add_subplot(1, len(matrices), index + 1) for index in range(len(matrices))]
    for index, (axis, (label, counts)) in enumerate(zip(axes, matrices.items(), strict=True)):
        totals = counts.sum(axis=1, keepdims=True)
        shares = 100 * np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
        heat_map(
            axis,
            shares,
            classes,
            title=label,
            cmap="Blues",
            low=0,
            high=100,
            names="both" if index == 0 else "below",
            write=_percentage,
        )
        axis.set_xlabel("predicted")
    axes[0].set_ylabel("truth")
    figure.colorbar(axes[-1].collections[0], ax=axes, shrink=0.8, label="% of the true class's pixels")
    set_title(figure, f"Confusion, {student}: what each class is taken for")
    return figure


def _percentage(value: float) -> str:
    """Empty below half a percent: zeros would hide the pattern."""
    return f"{value:.0f}" if value >= 0.5 else ""  # also for the NaN of a class without pixels
