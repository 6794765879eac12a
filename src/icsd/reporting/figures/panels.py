"""Images next to their labels and predictions."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from icsd.reporting.figures.canvas import empty_figure, legend_below, set_title, styled
from icsd.reporting.results import Panels

_IGNORED_GREY = 0.82


@styled
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
        pictures: Images and labels; its own predictions are not shown.
        predictions: Label -> [K, H, W].
        classes: Names of the C classes.
        palette: [C, 3] colours, 0..255.
        student: The student network's name, for the title.
    """
    num_images, height, width = pictures.labels.shape
    columns = 2 + len(predictions)
    across = min(3.4, 15.0 / columns)
    figure = empty_figure(across * columns, across * height / width * num_images + 1.3)
    ignored = pictures.labels >= len(classes)
    for row in range(num_images):
        line = [("Image", pictures.images[row]), ("Label", coloured(pictures.labels[row], palette))]
        line += [(label, coloured(masks[row], palette)) for label, masks in predictions.items()]
        for column, (label, picture) in enumerate(line):
            axis = figure.add_subplot(num_images, columns, row * columns + column + 1)
            _image(axis, picture, title=label if row == 0 else None)
            if label == "Label" and ignored[row].any():
                axis.contourf(ignored[row], levels=[0.5, 1.5], colors="none", hatches=["////"])
    set_title(figure, f"The same images, labelled and predicted ({student})")
    present = np.unique(np.stack([pictures.labels, *predictions.values()]))
    handles = _handles(present, classes, palette, any_ignored=bool(ignored.any()))
    legend_below(figure, handles, columns=max(4, int(across * columns / 1.7)))
    return figure


def _image(axis: Axes, picture: NDArray[np.uint8], *, title: str | None) -> None:
    axis.imshow(picture, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    if title:
        axis.set_title(title, loc="center")


def _handles(
    present: NDArray[np.uint8], classes: Sequence[str], palette: NDArray[np.uint8], *, any_ignored: bool
) -> list[Patch]:
    handles = [
        Patch(facecolor=palette[index] / 255, edgecolor="#444444", linewidth=0.5, label=classes[index])
        for index in present
        if index < len(classes)
    ]
    if any_ignored:
        grey = (_IGNORED_GREY,) * 3
        handles.append(Patch(facecolor=grey, hatch="////", edgecolor="#444444", label="ignored"))
    return handles


def coloured(labels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H, W] class ids -> [H, W, 3] colours; ids without a colour (ignored) are grey."""
    table = np.full((256, 3), round(255 * _IGNORED_GREY), dtype=np.uint8)
    table[: len(palette)] = palette
    return table[labels]
