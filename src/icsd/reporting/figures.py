"""Curves and dots, drawn from tables; nothing is measured here."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from icsd.reporting.drawing import drawn, grid, legend_below, titled
from icsd.reporting.style import Look, emphasised, looks, method_label, network_label
from icsd.runs import TEACHER

MIOU = "val/miou"
DISTANCE = "similarity/distance"
PALE = "#c4c4c4"


@drawn
def training_curves(histories: pd.DataFrame, *, student: str, focus: str | None = None) -> Figure:
    """Validation mIoU and every loss term by epoch; thin lines are seeds, thick ones their means.

    Of many methods only those around the focus are in colour, with the terms that they have; the others are
    pale means.

    Args:
        histories: Columns method, seed, epoch, ``val/miou`` (fraction), ``loss/<term>``.
        student: Backbone, for the title.
        focus: The method the report is about.
    """
    every = list(histories["method"].unique())
    styles = looks(emphasised(every, focus=focus))
    coloured = histories["method"].isin(list(styles))
    own, others = histories[coloured], histories[~coloured]
    terms = [name for name in own.columns if name.startswith("loss/") and own[name].notna().any()]
    terms.sort(key=lambda name: (name != "loss/ce", name == "loss/total"))
    shown = [MIOU] * bool(MIOU in histories and histories[MIOU].notna().any()) + terms
    figure, axes = grid(max(1, len(shown)), columns=3, width=4.4, height=3.3)
    for axis, name in zip(axes, shown, strict=False):
        scale = 100 if name == MIOU else 1
        if (
            others[name].notna().any() and name != "loss/total"
        ):  # weighted sums of different terms: one method's says nothing of another's
            _pale_means(axis, _means_by_epoch(others, name), scale=scale)
        for method, look in styles.items():
            _seed_curves(axis, own[own["method"] == method], name, look, scale=scale)
        term = name.removeprefix("loss/")
        axis.set_title("Validation mIoU" if name == MIOU else f"Loss: {term}")
        axis.set(
            xlabel="epoch",
            ylabel="mIoU in %" if name == MIOU else "unweighted" if term != "total" else "weighted",
        )
        _log_where_wide(axis, own[name])
    titled(
        figure,
        f"Training of {network_label(student)}: one line per method, mean over seeds (thin: each seed)",
    )
    handles = [_handle(look) for look in styles.values()]
    if len(every) > len(styles):
        handles.append(Line2D([], [], color=PALE, linewidth=1.2, label="other methods"))
    legend_below(figure, handles, columns=9)
    return figure


@drawn
def validation_by_method(histories: pd.DataFrame, *, student: str) -> Figure:
    """A small panel per method: its validation mIoU (thin lines are seeds) over the pale means of all others.

    Args:
        histories: See :func:`training_curves`.
        student: Backbone, for the title.
    """
    styles = looks(list(histories["method"].unique()))
    means = _means_by_epoch(histories, MIOU)
    figure, axes = grid(len(styles), columns=6, width=2.3, height=1.9)
    for axis, (method, look) in zip(axes, styles.items(), strict=True):
        own = histories["method"] == method
        _pale_means(axis, means, scale=100)
        _seed_curves(axis, histories[own], MIOU, look, scale=100)
        axis.set_title(look.label)
        axis.sharey(axes[0])
        axis.tick_params(labelsize=9)
    titled(figure, f"Validation mIoU in % by epoch, {network_label(student)}: each method over all others")
    return figure


@drawn
def similarity_distance(histories: pd.DataFrame, *, student: str, focus: str | None = None) -> Figure:
    """Distance of the student's similarity matrix to the teacher's by epoch; as :func:`training_curves`.

    Args:
        histories: Columns method, seed, epoch, ``similarity/distance`` (nats²).
        student: Backbone, for the title.
        focus: The method the report is about.
    """
    every = list(histories["method"].unique())
    styles = looks(emphasised(every, focus=focus))
    coloured = histories["method"].isin(list(styles))
    figure, (axis,) = grid(1, columns=1, width=8.0, height=3.6)
    if (~coloured).any():
        _pale_means(axis, _means_by_epoch(histories[~coloured], DISTANCE), scale=1)
    for method, look in styles.items():
        _seed_curves(axis, histories[histories["method"] == method], DISTANCE, look, scale=1)
    axis.set(xlabel="epoch", ylabel="mean squared difference, nats²")
    _log_where_wide(axis, histories[DISTANCE])
    titled(figure, f"How far the similarity matrix of {network_label(student)} is from the teacher's")
    handles = [_handle(look) for look in styles.values()]
    if len(every) > len(styles):
        handles.append(Line2D([], [], color=PALE, linewidth=1.2, label="other methods"))
    legend_below(figure, handles, columns=5)
    return figure


@drawn
def alw_weights(history: pd.DataFrame, *, method: str) -> Figure:
    """The weight of every loss term by epoch, relative to its largest value in the run."""
    names = [name for name in history.columns if name.startswith("weight/") and history[name].notna().any()]
    colours = looks([name.removeprefix("weight/") for name in names])
    figure, axes = grid(1, columns=1, width=8.0, height=3.6)
    for index, name in enumerate(names):
        term, weights = name.removeprefix("weight/"), history[name].to_numpy(dtype=float)
        largest = float(np.nanmax(np.abs(weights))) or 1.0
        look = colours[term]
        # Offsets in the marker positions keep terms that share one schedule apart.
        axes[0].plot(
            history["epoch"],
            weights / largest,
            color=look.colour,
            linestyle=("-", "--", ":", "-.")[index % 4],
            linewidth=4.5 - 1.2 * (index % 3),
            marker=look.marker,
            markevery=(index % 3, max(3, len(history) // 6)),
            label=f"{look.label}, up to {largest:g}",
        )
    axes[0].set(xlabel="epoch", ylabel="weight ÷ its largest value")
    axes[0].set_ylim(-0.04, 1.06)
    titled(figure, f"{method_label(method)}: how the weight of each loss term changes while training")
    handles, _ = axes[0].get_legend_handles_labels()
    legend_below(figure, handles, columns=5)
    return figure


@drawn
def miou_by_method(table: pd.DataFrame, seeds: pd.DataFrame) -> Figure:
    """MIoU of every method: a dot per seed, the mean as a bar mark, its 95 % interval; the teacher as a line.

    Args:
        table: From :func:`icsd.reporting.tables.comparison`.
        seeds: From :func:`icsd.reporting.tables.seed_scores`.
    """
    teacher = table.loc[table["method"] == TEACHER, "miou_mean"].iloc[0]
    rows = table[table["method"] != TEACHER]
    students = list(rows["student"].unique())
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
    titled(figure, "mIoU on the reported images, by method")
    legend_below(figure, handles, columns=3)
    return figure


@drawn
def per_class_iou(table: pd.DataFrame, *, student: str, focus: str | None = None) -> Figure:
    """IoU of every class by method: dots are means, lines ± one standard deviation over seeds.

    Of many methods only those around the focus are in colour; the others are pale ticks on one line.

    Args:
        table: From :func:`icsd.reporting.tables.per_class`.
        student: Which student to draw, beside the teacher.
        focus: The method the report is about.
    """
    teacher = table[table["method"] == TEACHER]
    rows = table[(table["student"] == student) & (table["method"] != TEACHER)]
    every, classes = list(rows["method"].unique()), list(rows["class"].unique())
    styles = looks(emphasised(every, focus=focus))
    figure, (axis,) = grid(1, columns=1, width=10.0, height=0.115 * len(classes) * (len(styles) + 2) + 0.8)
    positions = np.arange(len(classes))
    for index, (method, look) in enumerate(styles.items()):
        own = rows[rows["method"] == method]
        offset = (index - (len(styles) - 1) / 2) * 0.72 / max(1, len(styles))
        axis.errorbar(
            own["iou_mean"],
            positions + offset,
            xerr=own["iou_std"].fillna(0),
            fmt=look.marker,
            color=look.colour,
            markersize=7,
            elinewidth=1.6,
            label=look.label,
        )
    others = rows[~rows["method"].isin(list(styles))]
    if len(others):
        at = others["class"].map({name: place for place, name in enumerate(classes)})
        axis.plot(
            others["iou_mean"], at, "|", color=PALE, markersize=11, mew=1.6, zorder=1, label="other methods"
        )
    axis.plot(
        teacher["iou_mean"],
        positions[: len(teacher)],
        "|",
        color="black",
        markersize=26,
        mew=1.8,
        label="Teacher",
    )
    for edge in positions[1:] - 0.5:
        axis.axhline(edge, color="#cccccc", linewidth=0.8)
    axis.grid(visible=False, axis="y")
    axis.set_yticks(positions, classes)
    axis.set_ylim(len(classes) - 0.5, -0.5)
    axis.set_xlabel("IoU in %")
    titled(figure, f"IoU of each class, {network_label(student)}: mean ± std over seeds")
    handles, _ = axis.get_legend_handles_labels()
    legend_below(figure, handles, columns=6)
    return figure


def _seed_curves(axis: Axes, history: pd.DataFrame, name: str, look: Look, *, scale: float) -> None:
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


def _pale_means(axis: Axes, means: pd.DataFrame, *, scale: float) -> None:
    """All curves as one broken line: an artist for each would take most of the time of a figure of many."""
    epochs = np.append(means.index.to_numpy(dtype=float), np.nan)
    values = np.vstack([means.to_numpy(), np.full((1, means.shape[1]), np.nan)])
    axis.plot(np.tile(epochs, means.shape[1]), scale * values.T.ravel(), color=PALE, linewidth=1.2, zorder=1)


def _means_by_epoch(histories: pd.DataFrame, name: str) -> pd.DataFrame:
    """[epochs, methods]: means over seeds, of the epochs with any value."""
    return histories.pivot_table(index="epoch", columns="method", values=name, aggfunc="mean")


def _log_where_wide(axis: Axes, values: pd.Series) -> None:
    positive = values.dropna()
    if len(positive) and positive.min() > 0 and positive.max() > 20 * positive.min():
        axis.set_yscale("log")


def _method_dots(axis: Axes, rows: pd.DataFrame, seeds: pd.DataFrame) -> None:
    styles = looks(list(rows["method"]))
    for position, row in enumerate(rows.to_dict("records")):
        look = styles[row["method"]]
        own = seeds.loc[seeds["method"] == row["method"], "miou"]
        axis.plot([row["miou_low"], row["miou_high"]], [position, position], color=look.colour, linewidth=2.2)
        axis.plot(row["miou_mean"], position, "|", color=look.colour, markersize=13, mew=3)
        axis.plot(own, np.full(len(own), position + 0.3), "o", color=look.colour, markersize=5, alpha=0.6)
        if pd.notna(row["miou_mean"]):
            _value_beside(axis, row["miou_mean"], position, look)
        else:
            axis.annotate(
                "missing", (0.02, position), xycoords=("axes fraction", "data"), color="#777777", va="center"
            )
    axis.set_yticks(range(len(rows)), [styles[method].label for method in rows["method"]])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")


def _highest(name: str, rows: pd.DataFrame) -> str:
    if rows["miou_mean"].isna().all():
        return name
    best = rows.sort_values("miou_mean", ascending=False).iloc[0]
    return f"{name}: highest is {method_label(best['method'])}, {best['miou_mean']:.1f} %"


def _value_beside(axis: Axes, value: float, position: int, look: Look) -> None:
    axis.annotate(
        f"{value:.1f}",
        (value, position),
        xytext=(0, 8),
        textcoords="offset points",
        ha="center",
        fontsize=10,
        color=look.colour,
    )


def _handle(look: Look) -> Line2D:
    return Line2D(
        [], [], color=look.colour, linestyle=look.line, marker=look.marker, markersize=6, label=look.label
    )


def varying_weights(histories: pd.DataFrame) -> Sequence[str]:
    """Methods whose term weights change while training, in the table's order."""
    names = [name for name in histories.columns if name.startswith("weight/")]
    by_method = histories.groupby("method", sort=False)[names]
    spread = by_method.max() - by_method.min()
    return [str(method) for method, row in spread.iterrows() if (row.fillna(0) > 0).any()]
