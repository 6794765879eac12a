"""Validation mIoU of every method: as curves, or in one panel if there are few epochs."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from icsd.reporting.figures.canvas import grid, label_epochs, legend_below, set_title, styled
from icsd.reporting.figures.curves import means_by_epoch, pale_means, seed_curves
from icsd.reporting.histories import VALIDATION_MIOU
from icsd.reporting.style import looks, network_label

CURVE = 4
"""Minimum number of validated epochs for curves."""


@styled
def validation_by_method(histories: pd.DataFrame, *, student: str) -> Figure:
    """Validation mIoU by method: a small panel each, or rows of one panel if there are few epochs.

    Args:
        histories: Columns method, seed, epoch, ``val/miou`` (fraction), with at least one value.
        student: Backbone, for the title.
    """
    means = 100 * means_by_epoch(histories, VALIDATION_MIOU)
    return _rows(means, student) if len(means) < CURVE else _panels(histories, means, student)


def _panels(histories: pd.DataFrame, means: pd.DataFrame, student: str) -> Figure:
    """A panel per method; thin lines are its seeds, pale lines the means of all methods."""
    styles = looks(list(histories["method"].unique()))
    figure, axes = grid(len(styles), columns=6, width=2.3, height=1.9)
    for axis, (method, look) in zip(axes, styles.items(), strict=True):
        pale_means(axis, means, scale=1)
        seed_curves(axis, histories[histories["method"] == method], VALIDATION_MIOU, look, scale=100)
        label_epochs(axis)
        axis.set_xlabel("")
        axis.set_title(look.label)
        axis.sharey(axes[0])
        axis.tick_params(labelsize=9)
    set_title(figure, f"Validation mIoU in % by epoch, {network_label(student)}: each method over all others")
    return figure


def _rows(means: pd.DataFrame, student: str) -> Figure:
    """A row per method with a dot per validated epoch, later ones more opaque; sorted by the last value."""
    means = means[means.iloc[-1].sort_values(ascending=False, kind="stable", na_position="last").index]
    styles = looks([str(name) for name in means.columns])
    strengths = [(place + 1) / len(means) for place in range(len(means))]
    figure, (axis,) = grid(1, columns=1, width=10.0, height=0.3 * len(styles) + 0.8)
    for place, (method, look) in enumerate(styles.items()):
        values = means[method]
        axis.plot(values, [place] * len(values), color=look.colour, linewidth=1.2, alpha=0.5, zorder=1)
        for value, strength in zip(values, strengths, strict=True):
            axis.plot(value, place, "o", color="white", markersize=8, zorder=2)
            axis.plot(value, place, "o", color=look.colour, markersize=8, alpha=strength, zorder=3)
    axis.set_yticks(range(len(styles)), [look.label for look in styles.values()])
    axis.set_ylim(len(styles) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")
    axis.set_xlabel("validation mIoU in %")
    handles = [
        Line2D([], [], color="#444444", marker="o", linestyle="none", markersize=8, alpha=alpha, label=label)
        for alpha, label in zip(strengths, (f"epoch {epoch}" for epoch in means.index), strict=True)
    ]
    set_title(figure, f"Validation mIoU, {network_label(student)}: mean over seeds")
    legend_below(figure, handles, columns=4)
    return figure
