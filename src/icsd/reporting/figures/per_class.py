"""IoU of every class by method."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from icsd.reporting.figures.canvas import grid, legend_below, set_title, styled
from icsd.reporting.style import PALE, Look, emphasised, looks, network_label
from icsd.runs import TEACHER


@styled
def per_class_iou(table: pd.DataFrame, *, student: str, focus: str | None = None) -> Figure:
    """IoU of every class by method: dots are means, lines ± one standard deviation over seeds.

    With many methods, only the focus and its references are in colour; the others are pale ticks on one line.

    Args:
        table: From :func:`icsd.reporting.tables.per_class.rows`.
        student: Which student to plot, next to the teacher.
        focus: The method the report is about.
    """
    teacher = table[table["method"] == TEACHER]
    rows = table[(table["student"] == student) & (table["method"] != TEACHER)]
    classes = list(rows["class"].unique())
    styles = looks(emphasised(list(rows["method"].unique()), focus=focus))
    height = 0.115 * len(classes) * (len(styles) + 2) + 0.8
    figure, (axis,) = grid(1, columns=1, width=10.0, height=height)
    positions = np.arange(len(classes))
    for index, (method, look) in enumerate(styles.items()):
        offset = (index - (len(styles) - 1) / 2) * 0.72 / max(1, len(styles))
        _means_and_spreads(axis, rows[rows["method"] == method], positions + offset, look)
    others = rows[~rows["method"].isin(list(styles))]
    if len(others):
        at = others["class"].map({name: place for place, name in enumerate(classes)})
        axis.plot(
            others["iou_mean"], at, "|", color=PALE, markersize=11, mew=1.6, zorder=1, label="other methods"
        )
    at_teacher = positions[: len(teacher)]
    axis.plot(teacher["iou_mean"], at_teacher, "|", color="black", markersize=26, mew=1.8, label="Teacher")
    _separate_classes(axis, classes)
    set_title(figure, f"IoU of each class, {network_label(student)}: mean ± std over seeds")
    handles, _ = axis.get_legend_handles_labels()
    legend_below(figure, handles, columns=6)
    return figure


def _means_and_spreads(axis: Axes, own: pd.DataFrame, positions: NDArray[np.floating], look: Look) -> None:
    axis.errorbar(
        own["iou_mean"],
        positions,
        xerr=_within(own["iou_mean"], own["iou_std"].fillna(0)),
        fmt=look.marker,
        color=look.colour,
        markersize=7,
        elinewidth=1.6,
        label=look.label,
    )


def _within(means: pd.Series, spreads: pd.Series) -> NDArray[np.floating]:
    """Lengths of the error bars, [2, classes], clipped to 0 to 100 %."""
    return np.stack([np.minimum(spreads, means), np.minimum(spreads, 100 - means)])


def _separate_classes(axis: Axes, classes: Sequence[str]) -> None:
    positions = np.arange(len(classes))
    for edge in positions[1:] - 0.5:
        axis.axhline(edge, color="#cccccc", linewidth=0.8)
    axis.grid(visible=False, axis="y")
    axis.set_yticks(positions, classes)
    axis.set_ylim(len(classes) - 0.5, -0.5)
    axis.set_xlabel("IoU in %")
