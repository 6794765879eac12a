"""The figure of loss health: how the loss terms shared the gradients, by epoch."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icsd.core.health import in_percent
from icsd.reporting.figures.canvas import grid, set_title, styled
from icsd.reporting.histories import SHARE
from icsd.reporting.style import looks, method_label, network_label


@styled
def loss_shares(histories: pd.DataFrame, *, student: str) -> Figure:
    """Every method's loss terms by epoch, stacked by their share of the gradients; means over seeds.

    Args:
        histories: From :func:`icsd.reporting.histories.histories`, with a measurement of at least one method.
        student: Backbone, for the title.
    """
    shares = [name for name in histories.columns if name.startswith(SHARE)]
    by_method = {
        str(method): own.groupby("epoch")[shares].mean().dropna(axis=1, how="all")
        for method, own in histories.dropna(subset=shares, how="all").groupby("method", sort=False)
    }
    figure, axes = grid(len(by_method), columns=4, width=3.3, height=2.9)
    for axis, (method, own) in zip(axes, by_method.items(), strict=True):
        _stack(axis, 100 * own.rename(columns=lambda name: name.removeprefix(SHARE)))
        axis.set_title(method_label(method))
        axis.set_xlabel("epoch", loc="right")  # next to the legend
        axis.set_ylim(0, 100)
    for axis in axes[::4]:
        axis.set_ylabel("share in %")
    set_title(figure, f"{network_label(student)}: shares of the loss terms in the gradients")
    return figure


def _stack(axis: Axes, shares: pd.DataFrame) -> None:
    """One band per term; steps instead of slopes, so that a run of one epoch shows as well."""
    epochs = shares.index.to_numpy(dtype=float)
    edges = [*(epochs - 0.5), epochs[-1] + 0.5]
    below = 0 * shares.iloc[:, 0]
    for term, look in looks([str(name) for name in shares.columns]).items():
        above = below + shares[term].fillna(0)
        label = f"{term}, mean {in_percent(shares[term].mean() / 100)}"
        axis.stairs(above, edges, baseline=below, fill=True, color=look.colour, alpha=0.75, label=label)
        axis.stairs(above, edges, baseline=None, color="white", linewidth=0.8)
        below = above
    axis.grid(visible=False)
    axis.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.2), fontsize=10, handlelength=1.0, borderpad=0)
