"""Decodes image files of a few known formats, and turns every error of a file into one message."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from icsd.datasets.file_kinds import what_it_is
from icsd.datasets.reading.damage import compressed_data, damage_in
from icsd.errors import UserError

MAX_PIXELS = 89_478_485
"""Maximum number of pixels of an image: Pillow's own limit, 268 MB as RGB."""

_BEGINNINGS = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"RIFF": "WEBP",
}
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # a tag of TIFF
_KIND_OF_PAGE, _IS_BESIDE = 254, 5  # a tag of TIFF, and its bits of smaller copies and transparency masks
_ORIENTATION = 0x0112  # EXIF

# The size is checked below, with the file's name, which Pillow's warning does not have.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Picture:
    """A decoded image.

    Attributes:
        image: the image, with its pixels loaded.
        format: Pillow's name of the file format.
        raw_mode: Pillow's name of the storage of pixels in the file; "L;4" is grey with 4 bits.
        white_is_zero: whether large numbers are dark, which Pillow does not correct.
        orientation: the EXIF orientation, which has been applied to ``image``; 1 is upright.
    """

    image: Image.Image
    format: str
    raw_mode: str
    white_is_zero: bool = False
    orientation: int = 1


def decode(path: Path, kind: str, *, formats: Sequence[str]) -> Picture:
    """Decodes a file, which must hold one complete and undamaged image, and turns it upright.

    The list of formats matters for security too: some of Pillow's decoders run other programs (PostScript
    starts Ghostscript), and Pillow chooses a decoder by the content, not by the name.

    Args:
        path: the file.
        kind: "image" or "label", for messages.
        formats: Pillow's names of the formats to try.

    Raises:
        UserError: the file is missing, of another format, too large, truncated or damaged, or holds several
            images; names the file.
    """
    problem = f"cannot read {kind} {path.name}: "
    try:
        content = path.read_bytes()
        picture = _decoded(content, formats)
    except UserError as error:
        raise UserError(f"{problem}{error}") from error
    except FileNotFoundError as error:
        raise UserError(
            f"{problem}{path.parent.name}/ holds no such file, whatever the suffix or its case"
        ) from error
    except UnidentifiedImageError as error:
        raise UserError(f"{problem}{_unidentified(content, kind, formats)}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"{problem}{_too_large()} ({error})") from error
    except Exception as error:  # decoders raise many kinds for damaged files
        raise UserError(f"{problem}{error or type(error).__name__}") from error
    return picture


def _decoded(content: bytes, formats: Sequence[str]) -> Picture:
    with Image.open(io.BytesIO(content), formats=list(formats)) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise UserError(f"{_too_large()} (it has {width:,} × {height:,})")
        raw_mode = _raw_mode(image)
        tags = getattr(image, "tag_v2", {}) if image.mode.startswith("I;16") else {}
        name = "JPEG" if image.format == "MPO" else str(image.format)  # several JPEGs in one file
        if (number := _num_pictures(image)) > 1:
            raise UserError(
                f"it holds {number} pictures (pages or frames), and it is not clear which one is meant; "
                "save that one as a file of its own"
            )
        data = compressed_data(image)
        orientation = _orientation(image)
        image.load()
    problem = damage_in(content, name, data)
    if problem:
        raise UserError(f"it is damaged: {problem}; copy it again from where it came from")
    # Asked again: Pillow turns a TIFF itself while it loads the pixels.
    upright = ImageOps.exif_transpose(image) if _orientation(image) != 1 else image
    return Picture(upright, name, raw_mode, tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO, orientation)


def _num_pictures(image: Image.Image) -> int:
    """Frames or pages; not those that a camera or a map adds to the one picture."""
    number: int = getattr(image, "n_frames", 1)
    if image.format == "MPO" or number == 1:
        return 1
    if image.format != "TIFF":
        return number
    beside = 0
    for page in range(1, number):
        image.seek(page)
        beside += bool(getattr(image, "tag_v2", {}).get(_KIND_OF_PAGE, 0) & _IS_BESIDE)
    image.seek(0)
    return number - beside


def _orientation(image: Image.Image) -> int:
    try:
        noted = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged notes of the camera; a viewer ignores them, too
        return 1
    return noted if noted in range(2, 9) else 1


def _raw_mode(image: Image.Image) -> str:
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else None
    raw_mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return raw_mode if isinstance(raw_mode, str) else image.mode


def _unidentified(content: bytes, kind: str, formats: Sequence[str]) -> str:
    name = next((name for beginning, name in _BEGINNINGS.items() if content.startswith(beginning)), None)
    if name in formats:
        return f"it begins like a {name} file, but is damaged, or of a kind that no decoder here reads"
    return f"{what_it_is(content)}; {kind}s are read from {_listed(formats)} files"


def _too_large() -> str:
    return f"more than {MAX_PIXELS:,} pixels, the most that are read; cut image and label into tiles"


def _listed(formats: Sequence[str]) -> str:
    *first, last = formats
    return f"{', '.join(first)} or {last}"
