"""Pictures of a run while it trains. They show its numbers and cannot change them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from icsd.stages.recording.heatmap import (
    DIVERGING,
    INK,
    RISING,
    SCALE,
    Matrix,
    font,
    heatmap,
    labels,
    length_of,
    scale,
    shortened,
)

SIDE = 1024
"""Side of a picture in pixels: the size of MLflow's thumbnails, so MLflow does not rescale it."""
_LONGEST_LABEL = 104
_TITLE, _HEADING, _GAP, _BAR = 34, 24, 16, SCALE + 28


def ics_picture(student: Matrix, teacher: Matrix, classes: Sequence[str], *, title: str) -> NDArray[np.uint8]:
    """Draw student, teacher and their difference on scales set by the teacher, so that epochs compare.

    Args:
        student: [C, C], row i, column j: KL(class i ‖ class j) of the spatial distributions, in nats.
        teacher: [C, C].
        classes: Names of the C classes.
        title: The run and the epoch.

    Returns:
        Pixels [SIDE, SIDE, 3]; square, since MLflow shows pictures in squares.
    """
    names = length_of(classes, at_most=_LONGEST_LABEL)
    room = min((SIDE - names - _GAP - _BAR) // 2, (SIDE - _TITLE) // 2 - _HEADING - names - 8)
    top = float(teacher.max()) or 1.0
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(picture)
    bold = font(17, bold=True)
    draw.text((8, 8), shortened(title, bold, SIDE - 16), fill=INK, font=bold)
    second_row = _TITLE + _HEADING + room + names + 8
    panels = (
        ("Student", student, RISING, 0.0, top, names, _TITLE),
        ("Teacher", teacher, RISING, 0.0, top, names + room + _GAP, _TITLE),
        ("Student − teacher", student - teacher, DIVERGING, -top / 2, top / 2, names, second_row),
    )
    for heading, matrix, colours, low, high, x, y in panels:
        panel = heatmap(matrix, colours=colours, low=low, high=high, side=room)
        first = y + _HEADING
        draw.text((x, y + 4), heading, fill=INK, font=font(14))
        picture.paste(panel, (x, first))
        label = labels(classes, cell=room / len(classes), length=names)
        picture.paste(label.transpose(Image.Transpose.ROTATE_90), (x, first + room))
        if x == names:
            picture.paste(label, (0, first))
        if heading != "Student":
            below = low < 0
            bar = scale(colours=colours, low=low, high=high, height=room, below=below)
            picture.paste(bar, (x + room + 8, first))
            unit = "difference, nats" if below else "KL(row ‖ column), nats"
            _write_upwards(picture, unit, x + room + 8 + SCALE, first + room // 2)
    return np.asarray(picture)


def _write_upwards(picture: Image.Image, text: str, x: int, middle: int) -> None:
    """Write from bottom to top, as beside an axis."""
    text_font = font(12)
    line = Image.new("RGB", (round(text_font.getlength(text)) + 2, 16), "white")
    ImageDraw.Draw(line).text((1, 1), text, fill=INK, font=text_font)
    picture.paste(line.transpose(Image.Transpose.ROTATE_90), (x, middle - line.width // 2))
