"""Adaptive loss weighting: the weight of every loss term by epoch."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from icsd.reporting.figures.canvas import grid, legend_below, set_title, styled
from icsd.reporting.histories import WEIGHT, columns_of
from icsd.reporting.style import looks, method_label


@styled
def alw_weights(history: pd.DataFrame, *, method: str) -> Figure:
    """The weight of every loss term by epoch, relative to its largest value in the run."""
    names = columns_of(history, WEIGHT)
    styles = looks([name.removeprefix(WEIGHT) for name in names])
    figure, (axis,) = grid(1, columns=1, width=8.0, height=3.6)
    for index, name in enumerate(names):
        term, weights = name.removeprefix(WEIGHT), history[name].to_numpy(dtype=float)
        largest = float(np.nanmax(np.abs(weights))) or 1.0
        look = styles[term]
        # Offsets in the marker positions keep terms that share one schedule apart.
        axis.plot(
            history["epoch"],
            weights / largest,
            color=look.colour,
            linestyle=("-", "--", ":", "-.")[index % 4],
            linewidth=4.5 - 1.2 * (index % 3),
            marker=look.marker,
            markevery=(index % 3, max(3, len(history) // 6)),
            label=f"{look.label}, up to {largest:g}",
        )
    axis.set(xlabel="epoch", ylabel="weight ÷ its largest value")
    axis.set_ylim(-0.04, 1.06)
    set_title(figure, f"{method_label(method)}: how the weight of each loss term changes while training")
    handles, _ = axis.get_legend_handles_labels()
    legend_below(figure, handles, columns=5)
    return figure
