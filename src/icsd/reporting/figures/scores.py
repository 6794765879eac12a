"""mIoU of every method, with its seeds and interval."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from icsd.reporting.figures.canvas import grid, legend_below, set_title, styled
from icsd.reporting.style import Look, looks, method_label, network_label
from icsd.runs import TEACHER


@styled
def miou_by_method(table: pd.DataFrame, seeds: pd.DataFrame) -> Figure:
    """MIoU of every method, the highest first, and the teacher as a line.

    Each method has a dot per seed, its mean as a tick, and the 95 % interval of the mean clipped to 0 to
    100 %.

    Args:
        table: From :func:`icsd.reporting.tables.comparison.rows`.
        seeds: From :func:`icsd.reporting.histories.seed_scores`.
    """
    teacher = table.loc[table["method"] == TEACHER, "miou_mean"].iloc[0]
    rows = table[table["method"] != TEACHER].sort_values("miou_mean", ascending=False, kind="stable")
    students = list(table.loc[table["method"] != TEACHER, "student"].unique())
    tallest = int(rows.groupby("student").size().max())
    figure, axes = grid(
        len(students), columns=2, width=9.0 / min(2, len(students)) + 1, height=0.46 * tallest + 1.2
    )
    for axis, student in zip(axes, students, strict=True):
        _method_dots(axis, rows[rows["student"] == student], seeds[seeds["student"] == student])
        if pd.notna(teacher):
            axis.axvline(teacher, color="black", linewidth=1.4)
        axis.set_title(_highest(network_label(student), rows[rows["student"] == student]))
        axis.set_xlabel("mIoU in %")
    handles = [
        Line2D(
            [], [], color="#444444", marker="o", linestyle="none", markersize=5, alpha=0.6, label="one seed"
        ),
        Line2D([], [], color="#444444", marker="|", markersize=14, linewidth=2, label="mean, 95 % interval"),
    ]
    if pd.notna(teacher):
        handles.append(Line2D([], [], color="black", linewidth=1.4, label=f"teacher ({teacher:.1f} %)"))
    set_title(figure, "mIoU on the reported images, by method")
    legend_below(figure, handles, columns=3)
    return figure


def _method_dots(axis: Axes, rows: pd.DataFrame, seeds: pd.DataFrame) -> None:
    styles = looks(list(rows["method"]))
    for position, row in enumerate(rows.to_dict("records")):
        look = styles[row["method"]]
        own = seeds.loc[seeds["method"] == row["method"], "miou"]
        ends = np.clip([row["miou_low"], row["miou_high"]], 0, 100)  # with few seeds they may lie outside
        axis.plot(ends, [position, position], color=look.colour, linewidth=2.2)
        axis.plot(row["miou_mean"], position, "|", color=look.colour, markersize=13, mew=3)
        axis.plot(own, np.full(len(own), position + 0.3), "o", color=look.colour, markersize=5, alpha=0.6)
        if pd.notna(row["miou_mean"]):
            _annotate(axis, row["miou_mean"], position, look)
        else:
            axis.annotate(
                "missing", (0.02, position), xycoords=("axes fraction", "data"), color="#777777", va="center"
            )
    axis.set_yticks(range(len(rows)), [styles[method].label for method in rows["method"]])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")


def _highest(name: str, rows: pd.DataFrame) -> str:
    """The method of the highest mean, and from how many others tests tell it apart."""
    if rows["miou_mean"].isna().all():
        return name
    known = rows.dropna(subset=["miou_mean"])
    best, others = known.iloc[0], known.iloc[1:]
    said = f"{name}\nhighest mean: {method_label(best['method'])}, {best['miou_mean']:.1f} %"
    if others.empty:
        return said
    if others["group"].isna().any() or pd.isna(best["group"]):
        return f"{said}, not tested"
    apart = sum(not set(group) & set(best["group"]) for group in others["group"])
    return f"{said}\ntold apart from {apart} of {len(others)} others"


def _annotate(axis: Axes, value: float, position: int, look: Look) -> None:
    axis.annotate(
        f"{value:.1f}",
        (value, position),
        xytext=(0, 8),
        textcoords="offset points",
        ha="center",
        fontsize=10,
        color=look.colour,
    )
