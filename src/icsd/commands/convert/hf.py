"""Converts a dataset of the Hugging Face hub, or in a local folder, to images and masks."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from icsd.commands.convert.target import target_folder, write_mask, write_png
from icsd.errors import UserError, first_line
from icsd.files import write_bytes

_INSTALL = "`uv sync --extra datasets`, or `pip install '.[datasets]'`"
_IMAGES = ("image", "img", "pixel_values", "picture", "photo")
_MASKS = ("label", "mask", "annotation", "segmentation", "semantic", "labels", "masks", "seg")
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif"}


def convert_hf(source: str, out: Path, *, image: str | None, mask: str | None) -> None:
    """Write every split's images and masks below ``out``.

    Args:
        source: A name on the hub, a folder that ``datasets`` can load, or a folder of its ``save_to_disk``.
        out: The folder to write.
        image: The column of the images; None to recognise it by its name.
        mask: The column of the masks; None to recognise it by its name.

    Raises:
        UserError: ``datasets`` is not installed or cannot load the source, or no column is recognised.
    """
    splits = _load(source)
    features = next(iter(splits.values())).features
    pictures = [name for name, feature in features.items() if type(feature).__name__ == "Image"]
    image = _column(image, pictures, _IMAGES, "image")
    mask = _column(mask, [name for name in pictures if name != image], _MASKS, "mask")
    numbers = {split: len(rows) for split, rows in splits.items()}
    for split, rows in splits.items():
        with target_folder(out, split, None) as folder:
            _write(rows, folder, image, mask, len(str(len(rows) - 1)))
    parts = ", ".join(f"{split} ({number:,})" for split, number in numbers.items())
    click.echo(f"wrote {parts} to {out}; images are column {image}, masks column {mask}")


def _load(source: str) -> Mapping[str, Any]:
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            f"Hugging Face datasets are read with `datasets`, which is not installed: {_INSTALL}"
        ) from error
    folder = Path(source).expanduser()
    try:
        if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            loaded = datasets.load_from_disk(str(folder))
        else:
            loaded = datasets.load_dataset(str(folder) if folder.is_dir() else source)
    except Exception as error:  # of the hub, of files, of formats: the library's own texts say which
        raise UserError(f"{source}: `datasets` cannot load it ({first_line(error)})") from error
    return loaded if isinstance(loaded, Mapping) else {"train": loaded}


def _column(given: str | None, pictures: Sequence[str], known: Sequence[str], kind: str) -> str:
    listed = ", ".join(pictures) or "none"
    if given is not None:
        if given not in pictures:
            raise UserError(f"--{kind}: no image column is called {given}; image columns: {listed}")
        return given
    named = [name for word in known for name in pictures if word in name.casefold()]
    if named or len(pictures) == 1:
        return named[0] if named else pictures[0]
    raise UserError(f"no column is recognised as the {kind}; name it with --{kind}. Image columns: {listed}")


def _write(rows: Any, folder: Path, image: str, mask: str, digits: int) -> None:  # noqa: ANN401
    """Write each row's image as it is stored, and its mask as PNG."""
    import datasets

    rows = rows.cast_column(image, datasets.Image(decode=False))
    for place, row in enumerate(rows):
        stem = f"{place:0{digits}d}"
        if row[image] is None or row[mask] is None:
            raise UserError(
                f"row {place} has no {image if row[image] is None else mask}: filter such rows first"
            )
        content = row[image]["bytes"] or Path(row[image]["path"]).read_bytes()
        with Image.open(io.BytesIO(content)) as picture:
            suffix = _SUFFIXES.get(str(picture.format), ".png")
        write_bytes(folder / "images" / f"{stem}{suffix}", content)
        _write_mask(folder / "masks" / f"{stem}.png", row[mask])


def _write_mask(path: Path, picture: Image.Image) -> None:
    if picture.mode in {"L", "P"}:
        write_mask(path, np.asarray(picture))
    else:
        write_png(path, picture)
