"""Reads images as a viewer shows them: 8-bit RGB, the right way up."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from icsd.core.labels import Pixels
from icsd.datasets.reading.decoding import decode
from icsd.errors import UserError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
_ORIENTATION = 0x0112  # EXIF


def read_image(path: Path) -> Pixels:
    """Reads an image as a viewer shows it, uint8 [H, W, 3].

    Grey values of 16 bits are scaled, palettes are looked up, and the EXIF orientation is applied.

    Raises:
        UserError: see ``decode``; also if viewers may show the image differently (transparent pixels, values
            without a fixed white such as 32-bit numbers). Names the file.
    """
    picture = decode(path, "image", formats=_FORMATS)
    image = _upright(picture.image)
    if image.mode.startswith("I;16"):
        grey = _scaled_to_8_bits(np.asarray(image))
        grey = 255 - grey if picture.white_is_zero else grey
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode not in _MODES:
        raise UserError(
            f"cannot read image {path.name}: its values have no fixed black and white (mode {image.mode}); "
            "save it with 8 bits a channel"
        )
    _check_opaque(image, path)
    return np.asarray(image.convert("RGB"))


def _upright(image: Image.Image) -> Image.Image:
    try:
        turned = image.getexif().get(_ORIENTATION, 1) != 1
    except Exception:  # damaged EXIF data, which viewers ignore, too
        return image
    return ImageOps.exif_transpose(image) if turned else image


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
