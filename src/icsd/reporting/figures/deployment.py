"""mIoU against latency of exported files, next to the networks that they could replace."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from icsd.reporting.figures.canvas import grid, set_title, styled
from icsd.reporting.style import looks, network_label
from icsd.reporting.tables.cells import missing, records
from icsd.reporting.tables.columns import Row
from icsd.reporting.tables.deployment import OWN, form_label

_MARKERS = {OWN: "o", "onnx": "s", "int8": "D", "torch": "^"}


@styled
def miou_by_latency(table: pd.DataFrame) -> Figure:
    """A point per network and file, with the interval of its mIoU, and its time from p50 to p95.

    Args:
        table: From :func:`icsd.reporting.tables.deployment.rows`.
    """
    students = list(table["student"].unique())
    figure, axes = grid(len(students), columns=2, width=11.0 / min(2, len(students)), height=4.6)
    for axis, student in zip(axes, students, strict=True):
        _points(axis, records(table[table["student"] == student]))
        axis.set_title(network_label(str(student)))
    set_title(figure, "mIoU against latency")
    return figure


def _points(axis: Axes, rows: list[Row]) -> None:
    styles = looks(list(dict.fromkeys(row["method"] for row in rows)))
    axis.set_xscale("log")
    for row in rows:
        colour = styles[row["method"]].colour
        if not missing(row["miou_low"]):
            axis.plot([row["p50_ms"]] * 2, [row["miou_low"], row["miou_high"]], color=colour, linewidth=1.6)
        axis.plot([row["p50_ms"], row["p95_ms"]], [row["miou"]] * 2, color=colour, linewidth=1.6)
        marker = "*" if row["method"] == "teacher" else _MARKERS[row["form"]]
        size = 13 if marker == "*" else 8
        axis.plot(row["p50_ms"], row["miou"], marker, color=colour, markersize=size, label=form_label(row))
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    axis.set_xlabel("milliseconds per image, median, and up to the 95th percentile")
    axis.set_ylabel("mIoU in %, 95 % interval")
    axis.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
