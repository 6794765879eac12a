"""The folder that a conversion writes: images, masks, and the names of the classes."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from icsd.core.labels import IGNORE, Pixels
from icsd.datasets.base import voc_palette
from icsd.errors import UserError
from icsd.files import folder_written_whole, write_bytes

CLASSES = "classes.txt"
MOST_CLASSES = IGNORE
"""0 to 254; 255 is ignored."""


@contextmanager
def target_folder(out: Path, split: str | None, classes: Sequence[str] | None) -> Iterator[Path]:
    """A folder for ``images`` and ``masks`` of a split (or of all), which appears if the block succeeds.

    Args:
        out: Folder of the whole dataset.
        split: The split that is written; None without splits.
        classes: Class names by number, written to ``classes.txt``; None if they are unknown.

    Raises:
        UserError: The folder is not empty, there are too many classes, or ``out`` has other classes.
    """
    target = out / split if split else out
    if target.exists() and any(target.iterdir()):
        raise UserError(f"{target}: already exists; choose another folder, or move it away")
    if len(classes or ()) > MOST_CLASSES:
        raise UserError(f"{len(classes or ())} classes; 8-bit masks hold at most {MOST_CLASSES}")
    content = "".join(f"{' '.join(name.split())}\n" for name in classes or ()).encode()
    names = out / CLASSES
    if content and names.exists() and names.read_bytes() != content:
        raise UserError(f"{names}: has other classes than this split; convert it to a folder of its own")
    with folder_written_whole(target) as folder:
        for kind in ("images", "masks"):
            (folder / kind).mkdir()
        if content and not split:
            write_bytes(folder / CLASSES, content)
        yield folder
    if content and split:
        write_bytes(names, content)


def write_mask(path: Path, numbers: Pixels) -> None:
    """Write a PNG whose pixels are the class numbers, shown in VOC's colours."""
    image = Image.fromarray(numbers)
    image.putpalette(np.asarray(voc_palette(256), dtype=np.uint8).reshape(-1).tolist())
    write_png(path, image)


def write_png(path: Path, image: Image.Image) -> None:
    """Write the image as a PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "png")
    write_bytes(path, buffer.getvalue())
