"""Converts COCO's annotations (polygons, RLE, crowds) to one mask of class numbers per image."""

import contextlib
import io
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import click
import numpy as np

from icsd.commands.convert.target import target_folder, write_mask
from icsd.core.labels import Pixels
from icsd.datasets.reading.decoding import MAX_PIXELS
from icsd.errors import UserError, some
from icsd.files import copy_file

_BACKGROUND = "background"
_INSTALL = "`uv sync --extra coco`, or `pip install '.[coco]'`"


def convert_coco(annotations: Path, images: Path, out: Path, *, split: str | None) -> None:
    """Write images, masks and classes.txt below ``out``.

    Categories become 1, 2, … in the order of their ids; pixels without annotation are 0, background. Single
    instances are drawn over crowds, and smaller ones over larger ones.

    Args:
        annotations: A COCO file of instances.
        images: The folder of the images.
        out: The folder to write.
        split: Name of the split (train, val, test), which gets its own folder below ``out``; None without.

    Raises:
        UserError: pycocotools is not installed, the file is not a COCO file, or images are missing.
    """
    coco = _read(annotations)
    names = _checked(coco, annotations)
    numbers = {category: number for number, category in enumerate(sorted(names), start=1)}
    files = _files(coco.imgs.values(), images)
    classes = [_BACKGROUND, *(names[category] for category in sorted(names))]
    with target_folder(out, split, classes) as folder:
        for image_id, path in files.items():
            mask = _mask(coco, image_id, numbers, annotations)
            write_mask(folder / "masks" / f"{path.stem}.png", mask)
            copy_file(path, folder / "images" / path.name)
    click.echo(
        f"wrote {len(files):,} images and masks of {len(classes)} classes to {out / split if split else out}"
    )


def _read(annotations: Path) -> Any:  # noqa: ANN401 - pycocotools has no types
    try:
        from pycocotools.coco import COCO
    except ImportError as error:
        raise UserError(
            f"COCO annotations are read with pycocotools, which is not installed: {_INSTALL}"
        ) from error
    try:
        content = json.loads(annotations.read_bytes())
    except OSError as error:
        raise UserError(f"{annotations}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UserError(f"{annotations}: is not valid JSON ({error})") from error
    lacking = [key for key in ("images", "annotations", "categories") if not _is_list(content, key)]
    if lacking:
        raise UserError(f"{annotations}: is not a COCO instances file: it lacks {', '.join(lacking)}")
    coco = COCO()
    coco.dataset = content
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
    except (KeyError, TypeError) as error:
        raise UserError(f"{annotations}: an entry lacks {error}") from error
    return coco


def _is_list(content: object, key: str) -> bool:
    return isinstance(content, Mapping) and isinstance(content.get(key), list)


def _checked(coco: Any, annotations: Path) -> dict[int, str]:  # noqa: ANN401
    """Category -> name, after checking that the entries are consistent."""
    names = {category: str(entry.get("name", category)) for category, entry in coco.cats.items()}
    if not names or not coco.imgs:
        raise UserError(f"{annotations}: has no {'images' if names else 'categories'}")
    bad = [
        str(entry["id"])
        for entry in coco.dataset["annotations"]
        if entry.get("category_id") not in names or entry.get("image_id") not in coco.imgs
    ]
    if bad:
        raise UserError(
            f"{annotations}: annotations refer to images or categories that are missing: "
            f"{some(bad, len(bad))}"
        )
    sizeless = [str(image) for image, entry in coco.imgs.items() if not _has_size(entry)]
    if sizeless:
        raise UserError(
            f"{annotations}: images without height and width, or with more than {MAX_PIXELS:,} pixels: "
            f"{some(sizeless, len(sizeless))}"
        )
    return names


def _has_size(entry: Mapping[str, Any]) -> bool:
    height, width = entry.get("height"), entry.get("width")
    return (
        isinstance(height, int) and isinstance(width, int) and 0 < height * width <= MAX_PIXELS and height > 0
    )


def _files(entries: Sequence[Mapping[str, Any]], images: Path) -> dict[int, Path]:
    """Image id -> its file; file names must be unique."""
    files: dict[int, Path] = {}
    missing: list[str] = []
    for entry in entries:
        name = PurePosixPath(str(entry.get("file_name", "")).replace("\\", "/"))
        place = next((p for p in (images / name, images / name.name) if name.name and p.is_file()), None)
        if place:
            files[entry["id"]] = place
        else:
            missing.append(str(name))
    if missing:
        raise UserError(
            f"{images}: {len(missing):,} of {len(entries):,} images are missing: "
            f"{some(missing, len(missing))}"
        )
    stems = [path.stem.casefold() for path in files.values()]
    doubles = (
        sorted({stem for stem in stems if stems.count(stem) > 1}) if len(set(stems)) < len(stems) else []
    )
    if doubles:
        raise UserError(
            f"several images have the same name: {some(doubles, len(doubles))}; "
            "convert their folders one by one"
        )
    return files


def _mask(coco: Any, image: int, numbers: Mapping[int, int], annotations: Path) -> Pixels:  # noqa: ANN401
    entry = coco.imgs[image]
    mask = np.zeros((entry["height"], entry["width"]), dtype=np.uint8)
    drawn: list[tuple[bool, int, int, Pixels]] = []
    for annotation in coco.imgToAnns[image]:
        if not annotation.get("segmentation"):
            continue  # only a box, or keypoints
        covered = _covered(coco, annotation, annotations)
        is_single = not annotation.get("iscrowd", 0)
        drawn.append((is_single, -int(covered.sum()), numbers[annotation["category_id"]], covered))
    for _, _, number, covered in sorted(drawn, key=lambda one: one[:2]):
        mask[covered.astype(bool)] = number
    return mask


def _covered(coco: Any, annotation: Mapping[str, Any], annotations: Path) -> Pixels:  # noqa: ANN401
    """Mask of an annotation: 1 in the pixels that it covers."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy, about pycocotools' own arrays
            covered: Pixels = coco.annToMask(annotation)
    except Exception as error:  # pycocotools may raise any exception
        raise UserError(
            f"{annotations}: the segmentation of annotation {annotation['id']} cannot be read ({error})"
        ) from error
    return covered
