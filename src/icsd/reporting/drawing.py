"""How figures look, and their reproducible bytes; no pyplot, no settings of the user's machine."""

from collections.abc import Callable, Sequence
from functools import wraps
from io import BytesIO
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

P = ParamSpec("P")

LOOK: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#444444",
    "axes.grid": True,
    "axes.labelsize": 11,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "figure.facecolor": "white",
    "figure.titlesize": 14,
    "font.family": "DejaVu Sans",  # ships with Matplotlib, so the bytes do not depend on installed fonts
    "font.size": 11,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.7,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "svg.hashsalt": "icsd",
}


def drawn(make: Callable[P, Figure]) -> Callable[P, Figure]:
    """A figure made under this module's look alone, whatever a user's matplotlibrc says."""

    @wraps(make)
    def under_look(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with _look():
            return make(*args, **kwargs)

    return under_look


def to_png(figure: Figure, *, dpi: int = 130) -> bytes:
    """The figure as PNG; equal bytes for equal figures."""
    buffer = BytesIO()
    FigureCanvasAgg(figure)  # keeps one renderer; a bare figure makes one for every text that it measures
    with _look():
        figure.savefig(
            buffer, format="png", dpi=dpi, metadata={"Software": None}, bbox_inches="tight", pad_inches=0.15
        )
    return buffer.getvalue()


def sheet(width: float, height: float, *, pad: float = 0.04) -> Figure:
    """An empty figure of this size in inches, laid out by its contents ``pad`` inches apart."""
    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(h_pad=pad, w_pad=pad))


def grid(num_panels: int, *, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with ``num_panels`` axes in rows of ``columns``; inches per panel, plus room for a legend."""
    columns = min(columns, num_panels)
    rows = -(-num_panels // columns)
    figure = sheet(width * columns, height * rows + 0.9)
    axes = [figure.add_subplot(rows, columns, index + 1) for index in range(num_panels)]
    return figure, axes


def titled(figure: Figure, text: str) -> None:
    """What the figure shows, at its top left."""
    figure.suptitle(text, x=0.01, ha="left", fontweight="bold")


def legend_below(figure: Figure, handles: Sequence[Any], *, columns: int) -> None:
    """One legend for all panels, below them, in even rows of at most ``columns`` entries."""
    rows = -(-len(handles) // columns)
    figure.legend(handles=handles, loc="outside lower left", ncols=-(-len(handles) // rows), handlelength=2.6)


def _look() -> Any:  # noqa: ANN401 - matplotlib's context manager has no public type
    settings: dict[Any, Any] = {
        name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith("backend")
    }
    settings.update(LOOK)
    return mpl.rc_context(settings)
