"""Reads images as a viewer shows them: 8-bit RGB, the right way up."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from icsd.core.labels import Pixels
from icsd.datasets.reading.decoding import decode
from icsd.errors import UserError

_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}


@dataclass(frozen=True)
class ShownImage:
    """An image as a viewer shows it, and what may be wrong with that.

    Attributes:
        pixels: uint8 [H, W, 3].
        brightest: the largest number of a file with 16 bits a channel, as far as it is known; else None.
        orientation: see ``Picture``.
    """

    pixels: Pixels
    brightest: int | None = None
    orientation: int = 1


def read_image(path: Path) -> Pixels:
    """The pixels of ``read_shown``."""
    return read_shown(path).pixels


def read_shown(path: Path) -> ShownImage:
    """Reads an image as a viewer shows it.

    Values of 16 bits are scaled, palettes are looked up, and the EXIF orientation is applied.

    Raises:
        UserError: see ``decode``; also if viewers may show the image differently (transparent pixels, values
            without a fixed white such as 32-bit numbers). Names the file.
    """
    picture = decode(path, "image", formats=_FORMATS)
    image = picture.image
    if image.mode.startswith("I;16"):
        values = np.asarray(image)
        grey = _scaled_to_8_bits(values)
        grey = 255 - grey if picture.white_is_zero else grey
        brightest = None if picture.white_is_zero else int(values.max())
        return ShownImage(np.repeat(grey[..., None], 3, axis=2), brightest, picture.orientation)
    if image.mode not in _MODES:
        raise UserError(
            f"cannot read image {path.name}: its values have no fixed black and white (mode {image.mode}); "
            "save it with 8 bits a channel"
        )
    _check_opaque(image, path)
    pixels = np.asarray(image.convert("RGB"))
    # Pillow keeps the higher half of 16 bits.
    brightest = int(pixels.max()) << 8 | 255 if ";16" in picture.raw_mode and pixels.any() else None
    return ShownImage(pixels, brightest, picture.orientation)


def _scaled_to_8_bits(values: np.ndarray) -> Pixels:
    scaled: Pixels = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return scaled


def _check_opaque(image: Image.Image, path: Path) -> None:
    if not image.has_transparency_data:
        return
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    share = float((alpha < 255).mean())
    if share:
        raise UserError(
            f"cannot read image {path.name}: {share:.2%} of its pixels are transparent, so that each viewer "
            "shows something else; save it without transparency"
        )
