"""Matrices and images: inter-class similarity, confusion, predictions beside labels."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from icsd.reporting.drawing import drawn, legend_below, sheet, titled
from icsd.reporting.results import Panels

Matrix = NDArray[np.float64]
Names = Literal["both", "below", "none"]
"""Where a heat map writes its class names."""
_IGNORED_GREY = 0.82


@drawn
def ics_matrices(
    teacher: Matrix, students: Mapping[str, Matrix], classes: Sequence[str], *, student: str
) -> Figure:
    """Similarity matrices on one scale, and below them each student's difference to the teacher.

    Args:
        teacher: [C, C], row i, column j: KL(class i ‖ class j) of the spatial distributions.
        students: Label -> [C, C].
        classes: Names of the C classes.
        student: The student network's name, for the title.
    """
    differences = {label: matrix - teacher for label, matrix in students.items()}
    # A few outlying pairs would leave the rest in one colour; the bars' arrows say that values go beyond.
    top = float(np.percentile(np.stack([teacher, *students.values()]), 98)) or 1.0
    reach = float(np.percentile(np.abs(np.stack(list(differences.values()))), 98)) or 1.0
    columns = 1 + len(students)
    side = max(4.4, 0.2 * len(classes) + 1.5)
    figure = sheet(side * columns + 1.0, 2 * side + 0.7, pad=0.1)
    upper = [figure.add_subplot(2, columns, index + 1) for index in range(columns)]
    _explain(figure, 2, columns, columns + 1)
    lower = [figure.add_subplot(2, columns, columns + 1 + index) for index in range(1, columns)]
    for index, (axis, (label, matrix)) in enumerate(
        zip(upper, [("Teacher", teacher), *students.items()], strict=True)
    ):
        _heat(
            axis,
            matrix,
            classes,
            title=label,
            cmap="viridis",
            low=0,
            high=top,
            # The student columns have theirs below the lower row.
            names="both" if index == 0 else "none",
            write=_divergence,
        )
    for index, (axis, (label, matrix)) in enumerate(zip(lower, differences.items(), strict=True)):
        title = f"{label} − teacher\n(RMS {np.sqrt(np.mean(matrix**2)):.3g})"
        _heat(
            axis,
            matrix,
            classes,
            title=title,
            cmap="RdBu_r",
            low=-reach,
            high=reach,
            names="both" if index == 0 else "below",
            write=_divergence,
        )
    figure.colorbar(upper[-1].collections[0], ax=upper, extend="max", shrink=0.85, label="KL(row ‖ column)")
    figure.colorbar(lower[-1].collections[0], ax=lower, extend="both", shrink=0.85, label="difference")
    titled(
        figure, f"Inter-class similarity, {student}: top on one scale, below the difference to the teacher"
    )
    return figure


@drawn
def confusion(matrices: Mapping[str, Matrix], classes: Sequence[str], *, student: str) -> Figure:
    """Row-normalised confusion: of a class's pixels (row), the percentage predicted as each class (column).

    Args:
        matrices: Label -> [C, C] counts, rows = truth.
        classes: Names of the C classes.
        student: The student network's name, for the title.
    """
    side = max(4.2, 0.22 * len(classes) + 1.6)
    figure = sheet(side * len(matrices) + 0.8, side + 0.7)
    axes = [figure.add_subplot(1, len(matrices), index + 1) for index in range(len(matrices))]
    for index, (axis, (label, counts)) in enumerate(zip(axes, matrices.items(), strict=True)):
        totals = counts.sum(axis=1, keepdims=True)
        shares = 100 * np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
        _heat(
            axis,
            shares,
            classes,
            title=label,
            cmap="Blues",
            low=0,
            high=100,
            names="both" if index == 0 else "below",
            write=_percentage,
        )
        axis.set_xlabel("predicted")
    axes[0].set_ylabel("truth")
    figure.colorbar(axes[-1].collections[0], ax=axes, shrink=0.8, label="% of the true class's pixels")
    titled(figure, f"Confusion, {student}: what each class is taken for (sum over images and seeds)")
    return figure


@drawn
def panels(
    pictures: Panels,
    predictions: Mapping[str, NDArray[np.uint8]],
    classes: Sequence[str],
    palette: NDArray[np.uint8],
    *,
    student: str,
) -> Figure:
    """Image, label and predictions side by side, one image per row; ignored pixels are hatched in grey.

    Args:
        pictures: Images and labels; its own predictions are not drawn.
        predictions: Label -> [K, H, W].
        classes: Names of the C classes.
        palette: [C, 3] colours, 0..255.
        student: The student network's name, for the title.
    """
    num_images, height, width = pictures.labels.shape
    columns = 2 + len(predictions)
    across = min(3.4, 15.0 / columns)
    figure = sheet(across * columns, across * height / width * num_images + 1.3)
    ignored = pictures.labels >= len(classes)
    for row in range(num_images):
        shown = [("Image", pictures.images[row]), ("Label", coloured(pictures.labels[row], palette))]
        shown += [(label, coloured(masks[row], palette)) for label, masks in predictions.items()]
        for column, (label, picture) in enumerate(shown):
            axis = figure.add_subplot(num_images, columns, row * columns + column + 1)
            axis.imshow(picture, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.grid(visible=False)
            axis.spines[:].set_visible(False)
            if row == 0:
                axis.set_title(label, loc="center")
            if label == "Label" and ignored[row].any():
                axis.contourf(ignored[row], levels=[0.5, 1.5], colors="none", hatches=["////"])
    present = np.unique(np.stack([pictures.labels, *predictions.values()]))
    handles = [Patch(facecolor=palette[index] / 255, edgecolor="#444444", linewidth=0.5, label=classes[index])
               for index in present if index < len(classes)]  # fmt: skip
    if ignored.any():
        handles.append(
            Patch(facecolor=(_IGNORED_GREY,) * 3, hatch="////", edgecolor="#444444", label="ignored")
        )
    titled(figure, f"The same images, labelled and predicted ({student})")
    legend_below(figure, handles, columns=max(4, int(across * columns / 1.7)))
    return figure


def coloured(labels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H, W] class ids -> [H, W, 3] colours; ids without a colour (ignored) are grey."""
    table = np.full((256, 3), round(255 * _IGNORED_GREY), dtype=np.uint8)
    table[: len(palette)] = palette
    return table[labels]


def _explain(figure: Figure, rows: int, columns: int, index: int) -> None:
    axis = figure.add_subplot(rows, columns, index)
    axis.set_axis_off()
    text = (
        "Row i, column j: KL(class i ‖ class j),\nhow far apart a network places\n"
        "the two classes in an image.\n0: in the same place.\n\n"
        "Right: student minus teacher.\nRed: too far apart, blue: too close,\nwhite: as in the teacher."
    )
    axis.text(0, 0.95, text, va="top", fontsize=12, linespacing=1.5, transform=axis.transAxes)


def _divergence(value: float) -> str:
    """At most four characters, so that it fits a cell: 5.7, −1.4, .8, 12."""
    text = f"{value:.1f}" if abs(value) < 9.95 else f"{value:.0f}"
    if float(text) == 0:
        return "0"
    return text.replace("-", "−").replace("0.", ".")


def _percentage(value: float) -> str:
    """Empty below half a percent: zeros would hide the pattern."""
    return f"{value:.0f}" if value >= 0.5 else ""  # also for the NaN of a class without pixels


def _heat(
    axis: Axes,
    matrix: Matrix,
    classes: Sequence[str],
    *,
    title: str,
    cmap: str,
    low: float,
    high: float,
    names: Names,
    write: Callable[[float], str],
) -> None:
    """One heat map; values are written into the cells while these are large enough to read."""
    sns.heatmap(
        matrix,
        ax=axis,
        vmin=low,
        vmax=high,
        cmap=cmap,
        square=True,
        cbar=False,
        annot=np.array([[write(float(value)) for value in row] for row in matrix])
        if len(classes) <= 12
        else None,
        fmt="",
        annot_kws={"fontsize": 8.5 if len(classes) <= 9 else 7.5},
        linewidths=0.4,
        linecolor="white",
        xticklabels=list(classes) if names != "none" else False,
        yticklabels=list(classes) if names == "both" else False,
    )
    for text in axis.texts:
        text.set_in_layout(False)  # inside their cells anyway; measuring each takes most of the time
    axis.tick_params(length=0, labelsize=10)
    axis.tick_params(axis="x", rotation=90)
    axis.tick_params(axis="y", rotation=0)
    axis.set_facecolor(to_rgb("#eeeeee"))
    axis.set_title(title)
