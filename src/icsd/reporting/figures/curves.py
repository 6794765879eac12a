"""Curves over epochs: validation mIoU, losses, and the distance to the teacher's similarity matrix."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from icsd.reporting.figures.canvas import grid, label_epochs, legend_below, set_title, styled
from icsd.reporting.histories import LOSS, SIMILARITY_DISTANCE, VALIDATION_MIOU, columns_of
from icsd.reporting.style import PALE, Look, emphasised, looks, network_label

TOTAL = f"{LOSS}total"
UNITS = {"ce": "nats", "kd": "nats", "cwd": "nats", "icsd": "nats²"}
"""Units of loss terms; the others are means of squares or of cosines, without a unit of their own."""
WIDE = 20
"""An axis is logarithmic if the largest value exceeds the smallest by more than this factor."""


@styled
def training_curves(histories: pd.DataFrame, *, student: str, focus: str | None = None) -> Figure:
    """Validation mIoU and every loss term by epoch; thin lines are seeds, thick ones their means.

    A panel has one quantity in one unit, logarithmic if its values span a factor of ``WIDE``. Totals are sums
    of different terms, so each is shown in percent of its value in the first epoch. With many methods, only
    the focus and its references are in colour, and only their terms have panels; the others are pale means.

    Args:
        histories: Columns method, seed, epoch, ``val/miou`` (fraction), ``loss/<term>``.
        student: Backbone, for the title.
        focus: The method the report is about.
    """
    methods = list(histories["method"].unique())
    styles = looks(emphasised(methods, focus=focus))
    in_colour = histories["method"].isin(list(styles))
    own, others = _relative_totals(histories[in_colour]), histories[~in_colour]
    terms = sorted(columns_of(own, LOSS), key=lambda name: (name != "loss/ce", name == TOTAL))
    validated = VALIDATION_MIOU in histories and histories[VALIDATION_MIOU].notna().any()
    panels = [*([VALIDATION_MIOU] if validated else []), *terms]
    figure, axes = grid(max(1, len(panels)), columns=3, width=4.4, height=3.3)
    for axis, name in zip(axes, panels, strict=False):
        scale = 100 if name == VALIDATION_MIOU else 1
        shown = own[name]
        if others[name].notna().any() and name != TOTAL:
            shown = histories[name]
            pale_means(axis, means_by_epoch(others, name), scale=scale)
        for method, look in styles.items():
            seed_curves(axis, own[own["method"] == method], name, look, scale=scale)
        _label_panel(axis, name)
        _log_where_wide(axis, shown)
    set_title(
        figure,
        f"Training of {network_label(student)}: one line per method, mean over seeds (thin: each seed)",
    )
    legend_below(figure, _handles(styles, methods), columns=9)
    return figure


@styled
def similarity_distance(histories: pd.DataFrame, *, student: str, focus: str | None = None) -> Figure:
    """Distance of the student's similarity matrix to the teacher's, plotted as in :func:`training_curves`.

    Args:
        histories: Columns method, seed, epoch, ``similarity/distance`` (nats²).
        student: Backbone, for the title.
        focus: The method the report is about.
    """
    methods = list(histories["method"].unique())
    styles = looks(emphasised(methods, focus=focus))
    in_colour = histories["method"].isin(list(styles))
    figure, (axis,) = grid(1, columns=1, width=8.0, height=3.6)
    if (~in_colour).any():
        pale_means(axis, means_by_epoch(histories[~in_colour], SIMILARITY_DISTANCE), scale=1)
    for method, look in styles.items():
        seed_curves(axis, histories[histories["method"] == method], SIMILARITY_DISTANCE, look, scale=1)
    label_epochs(axis)
    axis.set_ylabel("mean squared difference, nats²")
    _log_where_wide(axis, histories[SIMILARITY_DISTANCE])
    set_title(figure, f"How far the similarity matrix of {network_label(student)} is from the teacher's")
    legend_below(figure, _handles(styles, methods), columns=5)
    return figure


def _label_panel(axis: Axes, name: str) -> None:
    label_epochs(axis)
    if name == VALIDATION_MIOU:
        axis.set_title("Validation mIoU")
        axis.set_ylabel("mIoU in %")
    else:
        term = name.removeprefix(LOSS)
        axis.set_title(f"Loss: {term}")
        unit = f", {UNITS[term]}" if term in UNITS else ""
        axis.set_ylabel("% of the first epoch" if name == TOTAL else f"unweighted{unit}")


def seed_curves(axis: Axes, history: pd.DataFrame, name: str, look: Look, *, scale: float) -> None:
    """A method's seeds as thin lines and their mean as a thick one, times ``scale``."""
    values = history[["seed", "epoch", name]].dropna()
    if values.empty:
        return
    by_seed = values.groupby("seed")
    if by_seed.ngroups > 1:
        for _, own in by_seed:
            axis.plot(own["epoch"], scale * own[name], color=look.colour, linewidth=0.8, alpha=0.35)
    mean = values.groupby("epoch")[name].mean()
    axis.plot(
        mean.index,
        scale * mean,
        color=look.colour,
        linestyle=look.line,
        marker=look.marker,
        markevery=max(1, len(mean) // 5),
        markersize=5,
        label=look.label,
    )


def pale_means(axis: Axes, means: pd.DataFrame, *, scale: float) -> None:
    """All curves as one line with breaks: with many methods, one artist per curve would be slow to draw."""
    epochs = np.append(means.index.to_numpy(dtype=float), np.nan)
    values = np.vstack([means.to_numpy(), np.full((1, means.shape[1]), np.nan)])
    axis.plot(np.tile(epochs, means.shape[1]), scale * values.T.ravel(), color=PALE, linewidth=1.2, zorder=1)


def means_by_epoch(histories: pd.DataFrame, name: str) -> pd.DataFrame:
    """Means over seeds, [epochs, methods], of the epochs with any value."""
    return histories.pivot_table(index="epoch", columns="method", values=name, aggfunc="mean")


def _relative_totals(histories: pd.DataFrame) -> pd.DataFrame:
    """Each run's total in percent of its first epoch's; NaN if that is not positive."""
    if TOTAL not in histories:
        return histories
    first = histories.groupby(["method", "seed"])[TOTAL].transform("first")
    return histories.assign(**{TOTAL: 100 * histories[TOTAL] / first.where(first > 0)})


def _log_where_wide(axis: Axes, values: pd.Series) -> None:
    positive = values.dropna()
    if len(positive) and positive.min() > 0 and positive.max() > WIDE * positive.min():
        axis.set_yscale("log")


def _handles(styles: Mapping[str, Look], methods: Sequence[str]) -> list[Line2D]:
    """Handles of the legend: the methods in colour, and one for all others if there are any."""
    handles = [
        Line2D(
            [],
            [],
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            markersize=6,
            label=look.label,
        )
        for look in styles.values()
    ]
    if len(methods) > len(styles):
        handles.append(Line2D([], [], color=PALE, linewidth=1.2, label="other methods"))
    return handles
