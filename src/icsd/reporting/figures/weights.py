"""Adaptive loss weighting: the weight of every loss term by epoch."""

import pandas as pd
from matplotlib.figure import Figure

from icsd.reporting.figures.canvas import grid, label_epochs, legend_below, set_title, styled
from icsd.reporting.style import looks, method_label


@styled
def alw_weights(shares: pd.DataFrame, *, method: str) -> Figure:
    """The weight of every loss term by epoch, as a share of its λ.

    Args:
        shares: From :func:`icsd.reporting.histories.weight_shares`.
        method: For the title.
    """
    terms = [name for name in shares.columns if name != "epoch"]
    styles = looks(terms)
    figure, (axis,) = grid(1, columns=1, width=8.0, height=3.6)
    for index, term in enumerate(terms):
        look = styles[term]
        # Offsets in the marker positions keep terms that share one schedule apart.
        axis.plot(
            shares["epoch"],
            shares[term],
            color=look.colour,
            linestyle=("-", "--", ":", "-.")[index % 4],
            linewidth=4.5 - 1.2 * (index % 3),
            marker=look.marker,
            markevery=(index % 3, max(3, len(shares) // 6)),
            label=look.label,
        )
    label_epochs(axis)
    axis.set_ylabel("weight ÷ λ")
    axis.set_ylim(-0.04, 1.06)
    set_title(figure, f"{method_label(method)}: how the weight of each loss term changes while training")
    handles, _ = axis.get_legend_handles_labels()
    legend_below(figure, handles, columns=5)
    return figure
