"""What all figures share: settings, sizes, legends, and reproducible bytes; no pyplot, no matplotlibrc."""

from collections.abc import Callable, Sequence
from functools import wraps
from io import BytesIO
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

P = ParamSpec("P")

SETTINGS: dict[str, Any] = {
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


def styled(make: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorator: makes a figure under this module's settings alone, regardless of a user's matplotlibrc."""

    @wraps(make)
    def with_settings(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with _settings():
            return make(*args, **kwargs)

    return with_settings


def to_png(figure: Figure, *, dpi: int = 130) -> bytes:
    """The figure as PNG; equal bytes for equal figures."""
    buffer = BytesIO()
    FigureCanvasAgg(figure)  # keeps one renderer; a bare figure makes one per measured text
    with _settings():
        if any(axis.get_aspect() != "auto" for axis in figure.axes):
            figure.draw_without_rendering()  # square panels shrink once laid out, and their titles move along
        figure.savefig(
            buffer, format="png", dpi=dpi, metadata={"Software": None}, bbox_inches="tight", pad_inches=0.15
        )
    return buffer.getvalue()


def empty_figure(width: float, height: float, *, pad: float = 0.04) -> Figure:
    """An empty figure of this size in inches, whose parts are laid out ``pad`` inches apart."""
    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(h_pad=pad, w_pad=pad))


def grid(num_panels: int, *, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with ``num_panels`` axes in rows of ``columns``; inches per panel, plus room for a legend."""
    columns = min(columns, num_panels)
    rows = -(-num_panels // columns)
    figure = empty_figure(width * columns, height * rows + 0.9)
    axes = [figure.add_subplot(rows, columns, index + 1) for index in range(num_panels)]
    return figure, axes


def set_title(figure: Figure, text: str) -> None:
    """Set the figure's title, at its top left."""
    figure.suptitle(text, x=0.01, ha="left", fontweight="bold")


def label_epochs(axis: Axes) -> None:
    """Label the x axis as epochs, with integer ticks."""
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.set_xlabel("epoch")


def legend_below(figure: Figure, handles: Sequence[Any], *, columns: int) -> None:
    """One legend for all panels, below them, in even rows of at most ``columns`` entries."""
    rows = -(-len(handles) // columns)
    figure.legend(handles=handles, loc="outside lower left", ncols=-(-len(handles) // rows), handlelength=2.6)


def _settings() -> Any:  # noqa: ANN401 - matplotlib's context manager has no public type
    settings: dict[Any, Any] = {
        name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith("backend")
    }
    settings.update(SETTINGS)
    return mpl.rc_context(settings)
