"""Forest plot of the differences to the student alone, the largest first."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from icsd.reporting.figures.canvas import grid, legend_below, set_title, styled
from icsd.reporting.statistics.estimates import LEVEL
from icsd.reporting.style import looks, network_label

_NEGLIGIBLE = "#e6e6e6"


@styled
def forest(table: pd.DataFrame, *, narrow: bool = False) -> Figure:
    """The difference of every method with its 95 % interval; filled markers are established differences.

    Args:
        table: From :func:`icsd.reporting.tables.decisions.rows`, with a difference in at least one row.
        narrow: Layout for a phone's narrow screen, with students below one another.
    """
    rows = table.dropna(subset=["delta_mean"]).sort_values("delta_mean", ascending=False, kind="stable")
    students = list(rows["student"].unique())
    tallest = int(rows.groupby("student").size().max())
    columns = 1 if narrow else min(2, len(students))
    width = 4.4 if narrow else 9.0 / columns + 1
    figure, axes = grid(len(students), columns=columns, width=width, height=0.34 * tallest + 1.0)
    for axis, student in zip(axes, students, strict=True):
        axis.sharex(axes[0])
        _intervals(axis, rows[rows["student"] == student])
        axis.set_title(network_label(str(student)))
    rope = float(rows["rope"].iloc[0])
    mark: dict[str, Any] = {"color": "#444444", "marker": "o", "markersize": 7}
    handles = [
        Line2D([], [], **mark, label="established, 95 % interval"),
        Line2D([], [], **mark, markerfacecolor="white", label="not established"),
        Patch(color=_NEGLIGIBLE, label=f"negligible: within ±{rope:g}"),
    ]
    set_title(figure, "Difference to the student alone")
    legend_below(figure, handles, columns=1 if narrow else 3)
    return figure


def _intervals(axis: Axes, rows: pd.DataFrame) -> None:
    styles = looks(list(rows["method"]))
    axis.axvspan(-rows["rope"].iloc[0], rows["rope"].iloc[0], color=_NEGLIGIBLE, zorder=0)
    axis.axvline(0, color="black", linewidth=1.2, zorder=1)
    for position, row in enumerate(rows.to_dict("records")):
        colour = styles[row["method"]].colour
        axis.plot([row["delta_low"], row["delta_high"]], [position] * 2, color=colour, linewidth=2.2)
        face = colour if row["p_holm"] < LEVEL else "white"
        axis.plot(row["delta_mean"], position, "o", color=colour, markerfacecolor=face, markersize=7)
    axis.set_yticks(range(len(rows)), [styles[method].label for method in rows["method"]])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")
    axis.set_xlabel("Δ mIoU in percentage points")
