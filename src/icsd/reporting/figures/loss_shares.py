"""The figures of loss health: how the loss terms shared the gradients, on average and by epoch."""

from collections.abc import Iterable, Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from icsd.core.health import in_percent
from icsd.reporting.figures.canvas import grid, label_epochs, legend_below, set_title, styled
from icsd.reporting.histories import SHARE
from icsd.reporting.style import Look, emphasised, looks, method_label, network_label

CURVE = 3
"""Minimum number of measured epochs for a plot by epoch; with fewer, the mean says as much."""
_LETTER = 1.15
"""Width of a letter, in percent of the bar."""


@styled
def loss_shares(histories: pd.DataFrame, *, student: str) -> Figure:
    """A stacked bar per method: mean share of each loss term in the gradients, over epochs and seeds.

    Args:
        histories: From :func:`icsd.reporting.histories.histories`, with measurements of at least one method.
        student: Backbone, for the title.
    """
    means = {method: own.mean() for method, own in _by_method(histories).items()}
    styles = looks(_terms([own.index for own in means.values()]))
    figure, (axis,) = grid(1, columns=1, width=10.0, height=0.3 * len(means) + 0.7)
    for place, own in enumerate(means.values()):
        _bar(axis, place, own, styles)
    axis.set_yticks(range(len(means)), [method_label(name) for name in means])
    axis.set_ylim(len(means) - 0.4, -0.6)
    axis.set_xlim(0, 100)
    axis.set_xlabel("share in %")
    axis.grid(visible=False)
    set_title(figure, f"{network_label(student)}: shares of the loss terms in the gradients")
    return figure


def shares_by_epoch(histories: pd.DataFrame, *, focus: str | None = None) -> dict[str, pd.DataFrame]:
    """Method -> [epochs, terms], percent, for the emphasised methods with at least ``CURVE`` epochs.

    Args:
        histories: See :func:`loss_shares`.
        focus: The method the report is about.
    """
    shares = {name: own for name, own in _by_method(histories).items() if len(own) >= CURVE}
    return {name: shares[name] for name in emphasised(list(shares), focus=focus)}


@styled
def loss_shares_by_epoch(shares: Mapping[str, pd.DataFrame], *, student: str) -> Figure:
    """Stacked shares of the loss terms by epoch, a panel per method.

    Args:
        shares: From :func:`shares_by_epoch`, of at least one method.
        student: Backbone, for the title.
    """
    styles = looks(_terms([own.columns for own in shares.values()]))
    figure, axes = grid(len(shares), columns=4, width=3.3, height=2.4)
    for axis, (method, own) in zip(axes, shares.items(), strict=True):
        _stack(axis, own, styles)
        axis.set_title(method_label(method))
        axis.set_ylim(0, 100)
        label_epochs(axis)
    for axis in axes[::4]:
        axis.set_ylabel("share in %")
    set_title(figure, f"{network_label(student)}: shares in the gradients by epoch")
    handles = [Patch(color=look.colour, alpha=0.75, label=term) for term, look in styles.items()]
    legend_below(figure, handles, columns=min(8, 2 * len(shares)))
    return figure


def _by_method(histories: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Method -> [epochs, terms], percent, means over seeds; only measured epochs and terms."""
    shares = [name for name in histories.columns if name.startswith(SHARE)]
    measured = histories.dropna(subset=shares, how="all").groupby("method", sort=False)
    return {
        str(method): 100
        * own.groupby("epoch")[shares]
        .mean()
        .dropna(axis=1, how="all")
        .rename(columns=lambda name: name.removeprefix(SHARE))
        for method, own in measured
    }


def _terms(named: Iterable[pd.Index]) -> list[str]:
    return list(dict.fromkeys(str(term) for terms in named for term in terms))


def _bar(axis: Axes, place: int, shares: pd.Series, styles: Mapping[str, Look]) -> None:
    """Plot one bar; terms are named inside their part of it, or to its right if the part is too small."""
    left, beside = 0.0, []
    for term, share in shares.items():
        colour = styles[str(term)].colour
        axis.barh(place, share, left=left, height=0.72, color=colour, alpha=0.75, edgecolor="white")
        text = f"{term} {in_percent(share / 100)}"
        if _LETTER * len(text) < share:
            ink = "white" if _is_dark(colour) else "black"
            axis.text(left + share / 2, place, text, ha="center", va="center", fontsize=9, color=ink)
        else:
            beside.append(text)
        left += share
    axis.annotate(
        ", ".join(beside), (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=9
    )


def _is_dark(colour: str) -> bool:
    """Whether a bar of this colour at 75 % opacity on white is dark."""
    red, green, blue = (0.75 * part + 0.25 for part in to_rgb(colour))
    return 0.299 * red + 0.587 * green + 0.114 * blue < 0.55


def _stack(axis: Axes, shares: pd.DataFrame, styles: Mapping[str, Look]) -> None:
    """Plot one band per term, as steps, since nothing was measured between two epochs."""
    epochs = shares.index.to_numpy(dtype=float)
    edges = [*(epochs - 0.5), epochs[-1] + 0.5]
    below = 0 * shares.iloc[:, 0]
    for term in shares.columns:
        above = below + shares[term].fillna(0)
        colour = styles[str(term)].colour
        axis.stairs(above, edges, baseline=below, fill=True, color=colour, alpha=0.75)
        axis.stairs(above, edges, baseline=None, color="white", linewidth=0.8)
        below = above
    axis.grid(visible=False)
