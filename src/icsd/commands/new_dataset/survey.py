"""Counts the pixels of masks by value, and surveys the sizes and colours of images."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from icsd.commands.new_dataset.groups import Key
from icsd.datasets.base import Colour
from icsd.datasets.reading.decoding import Picture, decode
from icsd.datasets.reading.images import read_image
from icsd.datasets.reading.masks import read_ids
from icsd.errors import UserError

_FORMATS = ("PNG", "BMP", "TIFF", "JPEG", "WEBP")
_LOSSY = ("JPEG", "WEBP")
MOST_COLOURS = 4096
"""A picture with more colours is not a mask."""
_FEW = 64
_NUM_SAMPLED = 200


@dataclass(frozen=True)
class MaskPixels:
    """One mask's pixels by value.

    Attributes:
        numbers: Number -> pixels; None if the file holds colours.
        colours: Colour -> pixels; empty if the file holds numbers of more than 8 bits.
        shown: Number -> its colour, for a file with a palette.
        one_bit: Whether it is stored with one bit per pixel: 0 and 1 then are black and white.
        problem: Why it cannot be read; "" if it can.
    """

    numbers: Mapping[int, int] | None = None
    colours: Mapping[Colour, int] = field(default_factory=dict)
    shown: Mapping[int, Colour] = field(default_factory=dict)
    one_bit: bool = False
    problem: str = ""


def read_masks(paths: Mapping[Key, Path], *, threads: int = 2) -> dict[Key, MaskPixels]:
    """Every mask's pixels; the entry of an unreadable file has the problem."""
    with ThreadPoolExecutor(threads) as pool:
        return dict(zip(paths, pool.map(read_mask, paths.values()), strict=True))


def read_mask(path: Path) -> MaskPixels:
    """One mask's pixels by value."""
    try:
        picture = decode(path, "label", formats=_FORMATS)
        if picture.format in _LOSSY:
            raise UserError(
                f"label {path.name} is a {picture.format} file, whose compression changes values: "
                "export it as PNG"
            )
        return _pixels(path, picture)
    except UserError as error:
        return MaskPixels(problem=str(error))


def looks_like_mask(path: Path) -> bool:
    """Whether a picture is stored losslessly and has few values."""
    pixels = read_mask(path)
    return not pixels.problem and len(pixels.numbers or pixels.colours) <= _FEW


def _pixels(path: Path, picture: Picture) -> MaskPixels:
    image = picture.image
    has_colours = image.mode in {"RGB", "RGBX", "RGBA", "P", "PA"}
    colours = _colours(image, path) if has_colours else {}
    if image.mode in {"RGB", "RGBX", "RGBA"}:
        if all(red == green == blue for red, green, blue in colours):
            return MaskPixels({colour[0]: count for colour, count in colours.items()}, colours)
        return MaskPixels(None, colours)
    counts = np.bincount(read_ids(path).reshape(-1))
    numbers = {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    if image.mode == "P":
        palette = np.asarray(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3).tolist()
        shown = {number: (r, g, b) for number in numbers for r, g, b in palette[number : number + 1]}
        return MaskPixels(numbers, colours, shown)
    if image.mode in {"L", "1"}:
        white = 255 if image.mode == "1" else 1
        colours = {(value * white, value * white, value * white): count for value, count in numbers.items()}
    return MaskPixels(numbers, colours, one_bit=image.mode == "1")


def _colours(image: Image.Image, path: Path) -> dict[Colour, int]:
    if image.mode in {"RGBA", "PA"} and np.asarray(image.getchannel("A")).min() < 255:
        raise UserError(
            f"label {path.name} has transparent pixels, whose class is not certain: save it without"
        )
    codes = np.asarray(image.convert("RGB")).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    found, counts = np.unique(codes, return_counts=True)
    if len(found) > MOST_COLOURS:
        raise UserError(f"label {path.name} has {len(found):,} colours: it is a photograph, or was resized")
    pairs = zip(found.tolist(), counts.tolist(), strict=True)
    return {(code >> 16, code >> 8 & 255, code & 255): count for code, count in pairs}


@dataclass(frozen=True)
class Pictures:
    """Sizes and colours of the images.

    Attributes:
        sizes: (Height, width) -> number of images, the most common first; as stored, ignoring Exif rotation.
        mean: Mean of the pixels' red, green and blue over a sample, from 0 to 255.
        std: Their standard deviation.
        sampled: Number of images in the sample.
    """

    sizes: Mapping[tuple[int, int], int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sampled: int


def survey_images(paths: Sequence[Path]) -> Pictures:
    """Sizes of all images and colours of some; unreadable files are left to the doctor."""
    sizes: Counter[tuple[int, int]] = Counter()
    for path in paths:
        try:
            with Image.open(path) as image:
                sizes[image.height, image.width] += 1
        except Exception:  # noqa: S112 - the doctor reads every file and reports what is wrong with it
            continue
    step = max(1, len(paths) // _NUM_SAMPLED)
    sums, squares, pixels, sampled = np.zeros(3), np.zeros(3), 0, 0
    for pixels_of_one in _readable(paths[::step]):
        values = pixels_of_one.reshape(-1, 3).astype(np.float64)
        sums, squares, pixels = sums + values.sum(0), squares + (values**2).sum(0), pixels + len(values)
        sampled += 1
    mean = sums / max(1, pixels)
    std = np.sqrt(np.maximum(0, squares / max(1, pixels) - mean**2))
    return Pictures(dict(sizes.most_common()), tuple(mean.tolist()), tuple(std.tolist()), sampled)


def _readable(paths: Iterable[Path]) -> Iterable[np.ndarray]:
    for path in paths:
        try:
            yield read_image(path)
        except UserError:
            continue
