"""Builds PNG files chunk by chunk, for tests of files that no encoder writes."""

import struct
import zlib


def png(
    size: tuple[int, int], data: bytes, *, bits: int = 8, before: tuple[bytes, bytes] | None = None
) -> bytes:
    """A grey PNG of (width, height) with the rows ``data``, and optionally another chunk before them."""
    return png_of(struct.pack(">IIBBBBB", *size, bits, 0, 0, 0, 0), data, before=before)


def png_of(header: bytes, data: bytes, *, before: tuple[bytes, bytes] | None = None) -> bytes:
    """A PNG with this IHDR chunk."""
    chunks = [
        (b"IHDR", header),
        *([before] if before else []),
        (b"IDAT", zlib.compress(data)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
