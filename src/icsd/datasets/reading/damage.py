"""Is a picture's file whole? What decoders take without a word: wrong checksums, holes of zeros."""

import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from icsd.datasets.reading import jpeg

_COMPRESSION, _TABLES = 259, 347  # tags of TIFF
_PIECES = ((273, 279), (324, 325))  # where strips or tiles begin, and their bytes
_DEFLATE, _JPEG = {8, 32946}, {7}
_STEP = 1 << 20
_SPARE, _LEAST_DATA = 32, 256
"""Bytes at the end of WebP's data that a decoder must miss, where there are so many in all."""
_HOLES = {
    b"VP8 ": re.compile(rb"\0{512}"),
    b"VP8L": re.compile(rb"\0{4096}"),
    b"ALPH": re.compile(rb"\0{4096}"),
}
"""WebP's chunks of pixels -> so many zeros that no compressed data hold them: a sector's, or a page's where
plain areas are a bit a pixel."""


@dataclass(frozen=True)
class CompressedData:
    """Where a TIFF's compressed data lie.

    Attributes:
        compression: TIFF's number of the way.
        pieces: begin and end of every strip or tile in the file.
        tables: what all JPEG pieces begin with.
    """

    compression: int
    pieces: Sequence[tuple[int, int]]
    tables: bytes = b""


def compressed_data(image: Image.Image) -> CompressedData | None:
    """Of an opened TIFF; None for other formats."""
    tags = getattr(image, "tag_v2", None)
    if image.format != "TIFF" or tags is None:
        return None
    pieces = [
        (begin, begin + size)
        for begins, sizes in _PIECES
        for begin, size in zip(tags.get(begins, ()), tags.get(sizes, ()), strict=False)
    ]
    return CompressedData(tags.get(_COMPRESSION, 1), pieces, tags.get(_TABLES, b""))


def damage_in(content: bytes, name: str, data: CompressedData | None = None) -> str | None:
    """What is wrong with a file whose picture a decoder gives; None for a good one, as far as one can tell.

    Args:
        content: the whole file.
        name: Pillow's name of the format.
        data: of a TIFF, see ``compressed_data``.
    """
    if name == "JPEG":
        return jpeg.damage(content)
    if name == "PNG":
        return _png_damage(content)
    if name == "WEBP":
        return _webp_damage(content)
    return _tiff_damage(content, data) if data else None


def _png_damage(content: bytes) -> str | None:
    """Checks a PNG's checksums, because Pillow does not check those of the pixel data."""
    position = 8
    while position < len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        chunk = content[position + 4 : position + 8 + length]
        checksum = content[position + 8 + length : position + 12 + length]
        if zlib.crc32(chunk) != int.from_bytes(checksum, "big") or len(checksum) < 4:
            return f"a checksum is wrong (byte {position:,})"
        if chunk[:4] == b"IEND":
            return None
        position += 12 + length
    return "its end is missing"


def _webp_damage(content: bytes) -> str | None:
    """WebP has no checksum, and its decoder makes something of any bytes."""
    position = 12
    while position + 8 <= len(content):
        size = int.from_bytes(content[position + 4 : position + 8], "little")
        if (chunk := content[position : position + 4]) in _HOLES:
            hole = _HOLES[chunk].search(content, position + 8, position + 8 + size)
            if hole:
                return f"zeros stand in place of its data from byte {hole.start():,} on"
            if size > _LEAST_DATA and _is_too_long(chunk, content[position + 8 : position + 8 + size]):
                return "its data goes on after the image has ended"
        position += 8 + size + size % 2
    return None


def _is_too_long(chunk: bytes, data: bytes) -> bool:
    """Whether a picture needs no more than a part of its data: a decoder led astray ends early or late."""
    return chunk != b"ALPH" and _decodes(chunk, data) and _decodes(chunk, data[:-_SPARE])


def _decodes(chunk: bytes, data: bytes) -> bool:
    body = b"WEBP" + chunk + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2)
    try:
        with Image.open(
            io.BytesIO(b"RIFF" + len(body).to_bytes(4, "little") + body), formats=["WEBP"]
        ) as image:
            image.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def _tiff_damage(content: bytes, data: CompressedData) -> str | None:
    """Libtiff fills with zeros what it cannot unpack, and only prints that."""
    for begin, end in data.pieces:
        piece = content[begin:end]
        if data.compression in _DEFLATE:
            problem = _deflate_damage(piece)
        elif data.compression in _JPEG:
            problem = jpeg.damage(data.tables[:-2] + piece[2:] if data.tables else piece)
        else:
            return None
        if problem:
            return f"{problem} (in the part that begins at byte {begin:,})"
    return None


def _deflate_damage(piece: bytes) -> str | None:
    unpacker = zlib.decompressobj()
    try:
        while piece:
            unpacker.decompress(piece, _STEP)
            piece = unpacker.unconsumed_tail
    except zlib.error as error:
        return f"its data cannot be unpacked ({error})"
    return None if unpacker.eof else "its data are cut off"
