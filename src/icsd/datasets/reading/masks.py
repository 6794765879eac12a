"""Reads masks: images that store a class number for every pixel, in any of several ways."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from icsd.core.labels import Pixels
from icsd.datasets.reading.decoding import Picture, decode
from icsd.errors import UserError, some

_FORMATS = ("PNG", "BMP", "TIFF")
_LOSSY = ("JPEG", "WEBP")
_FEW_BITS = {
    "L": 1,
    "L;2": 85,
    "L;4": 17,
}  # raw mode -> factor by which Pillow multiplies numbers, to show them as grey

Colour = tuple[int, int, int]


def read_ids(path: Path, *, colours: Sequence[Colour] = ()) -> Pixels:
    """A mask's stored numbers, uint8 [H, W]; for a palette image its indices, not its colours.

    Args:
        path: the file.
        colours: the expected palette, by number; empty if any palette is accepted.

    Raises:
        UserError: see ``decode``; also if the file cannot hold class numbers: colours instead of numbers,
            numbers beyond 255, transparency, a lossy format. Names the file and the reason.
    """
    picture = decode(path, "label", formats=(*_FORMATS, *_LOSSY))
    if picture.format in _LOSSY:
        raise _unusable(path, f"is a {picture.format} file, whose compression may change class numbers")
    image = picture.image
    if ";16" in picture.raw_mode and not image.mode.startswith("I"):  # Pillow keeps their upper 8 bits only
        raise _unusable(path, f"stores 16 bits a channel in several channels ({picture.raw_mode})")
    if image.mode in {"LA", "PA", "RGBA"}:
        image = _without_alpha(image, path)
    if image.mode in {"RGB", "RGBX"}:
        return _equal_channel(image, path)
    if image.mode == "P":
        _check_order(image, colours, path)
        return np.asarray(image)
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8)
    if image.mode == "L":
        return _grey_numbers(picture, image, path)
    if image.mode.startswith("I"):
        return _small_numbers(np.asarray(image), path)
    if image.mode == "F" and (np.asarray(image) == np.rint(np.asarray(image))).all():  # as maps are exported
        return _small_numbers(np.asarray(image), path)
    raise _unusable(path, f"stores its pixels in a way that holds no class numbers (mode {image.mode})")


def read_numbers_by_colour(path: Path, numbers: Mapping[Colour, int]) -> Pixels:
    """The numbers of a mask whose classes are colours, uint8 [H, W].

    Args:
        path: the file.
        numbers: colour -> number, for every allowed colour.

    Raises:
        UserError: see ``read_ids``; also for other colours, which are listed with their numbers of pixels.
    """
    picture = decode(path, "label", formats=(*_FORMATS, *_LOSSY))
    if picture.format in _LOSSY:
        raise _unusable(path, f"is a {picture.format} file, whose compression may change colours")
    image = picture.image
    if image.mode in {"LA", "PA", "RGBA"}:
        image = _without_alpha(image, path)
    if image.mode not in {"1", "L", "P", "RGB", "RGBX"}:
        raise _unusable(
            path, f"stores its pixels in a way that holds no colours of 8 bits (mode {image.mode})"
        )
    codes = np.asarray(image.convert("RGB")).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    known = {red << 16 | green << 8 | blue: number for (red, green, blue), number in numbers.items()}
    found, where, counts = np.unique(codes, return_inverse=True, return_counts=True)
    others = [index for index, code in enumerate(found.tolist()) if code not in known]
    if others:
        others.sort(key=lambda index: -counts[index])
        named = (
            f"({code >> 16}, {code >> 8 & 255}, {code & 255}) in {counts[index]} pixels"
            for index in others
            for code in [int(found[index])]
        )
        raise UserError(
            f"label {path.name} holds colours that are no class: {some(named, len(others))}. Add them to the "
            "classes or to `ignore`; many of them mean that the mask was resized with interpolation"
        )
    table = np.array([known[code] for code in found.tolist()], dtype=np.uint8)
    read: Pixels = table[where.reshape(codes.shape)]
    return read


def _grey_numbers(picture: Picture, image: Image.Image, path: Path) -> Pixels:
    if picture.image.mode != "L":  # had an alpha channel, of 8 bits
        return np.asarray(image)
    factor = _FEW_BITS.get(picture.raw_mode)
    if factor is None:
        raise _unusable(path, f"stores grey values in an unusual way ({picture.raw_mode})")
    return np.asarray(image) // np.uint8(factor)


def _small_numbers(numbers: NDArray[np.integer] | NDArray[np.floating], path: Path) -> Pixels:
    low, high = float(numbers.min()), float(numbers.max())
    if low < 0 or high > 255:
        reason = "instance numbers, or class numbers that were scaled to grey values"
        raise _unusable(
            path, f"holds numbers from {low:,.0f} to {high:,.0f}; class numbers end at 255 ({reason})"
        )
    return numbers.astype(np.uint8)


def _equal_channel(image: Image.Image, path: Path) -> Pixels:
    channels = np.asarray(image)
    first: Pixels = channels[..., 0]
    if not (channels[..., :3] == first[..., None]).all():
        raise UserError(
            f"label {path.name} is a colour image (mode {image.mode}), its class ids are lost: "
            "use the published masks, one byte a pixel; for masks of your own, the reader `folder` takes "
            "colours as classes"
        )
    return first


def _without_alpha(image: Image.Image, path: Path) -> Image.Image:
    if np.asarray(image.getchannel("A")).min() < 255:
        raise _unusable(path, "has transparent pixels, whose class is not certain")
    opaque = {"LA": "L", "PA": "P", "RGBA": "RGB"}[image.mode]
    return image.getchannel("P" if opaque == "P" else "L") if opaque != "RGB" else image.convert("RGB")


def _check_order(image: Image.Image, colours: Sequence[Colour], path: Path) -> None:
    """Refuses palettes that an image editor has reordered: they show the same image with other numbers."""
    if not colours:
        return
    palette = np.asarray(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    used = [int(number) for number in np.unique(np.asarray(image)) if number < len(palette)]
    shown = {number: tuple(palette[number].tolist()) for number in used if number != 255}
    known = {colour: number for number, colour in enumerate(colours)}
    moved = [number for number, colour in shown.items() if known.get(colour, number) != number]
    if moved and all(colour in known for colour in shown.values()):
        number = moved[0]
        raise _unusable(
            path,
            f"shows the colour of class {known[shown[number]]} where it stores number {number}: "
            "its palette was sorted anew",
        )


def _unusable(path: Path, reason: str) -> UserError:
    return UserError(
        f"label {path.name} {reason}: use the published masks, or save your own as PNG with one class number "
        "a pixel"
    )
