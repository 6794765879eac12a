"""Checks that the compressed data of a JPEG file are complete and undamaged.

A JPEG has no checksum. A decoder that meets damage (a page of zeros, a lost sector, files joined wrongly)
continues with whatever the bits say: libjpeg counts a warning, Pillow hides it, and the lower part of the
image is shifted, grey or noise. Damage shows in the length: the codes after it no longer add up to the number
of blocks, so that a scan either runs out of bits or has some left over. Both can be detected by decoding
again with other bytes at the end of the scan:

- bytes added at the end change nothing, unless the decoder ran out of bits and uses them;
- replacing the last bytes changes the image, unless the decoder never reaches them.

The rules of the format are checked as well: which markers occur within a scan, their order, and its end.
"""

import io
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SOS, _EOI, _DHT = 0xDA, 0xD9, 0xC4
_SEQUENTIAL = {0xC0, 0xC1}  # start of frame: baseline, extended
_FRAMES = {*range(0xC0, 0xD0)} - {_DHT, 0xC8, 0xCC}
_AFTER_A_SCAN = {_EOI, _SOS, _DHT, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)}
_MARKER = re.compile(rb"\xff+[\x01-\xfe]")  # within a scan, FF 00 is a byte of data
_FILLED = re.compile(rb"\xff\xff+\x00")  # fill bytes are allowed before a marker only
_ZEROS = bytes(128)
_MAX_SPARE = 16
"""Number of superfluous bytes allowed at a scan's end: encoders pad, and fewer might not be detected."""
_MIN_DATA = 256
"""A scan with fewer bytes is of a tiny or plain image, where different bytes may give the same pixels."""
_RANDOM = random.Random("JPEG")  # noqa: S311 - fixed bytes to tell scans apart, no secret
_TAILS = [bytes(_RANDOM.choices(range(1, 255), k=_MAX_SPARE)) for _ in range(8)]


@dataclass
class _Layout:
    """The position of the compressed data.

    Attributes:
        runs: begin and end of every stretch of compressed data between two markers.
        without_zeros: the runs in which a long sequence of zeros must be damage.
        progressive: whether the coefficients come in several scans.
        components: number of colour channels.
        shortest_codes: for every AC table, the symbol whose code has zero bits only.
    """

    runs: list[tuple[int, int]] = field(default_factory=list)
    without_zeros: list[tuple[int, int]] = field(default_factory=list)
    progressive: bool = False
    components: int = 0
    shortest_codes: list[int] = field(default_factory=list)

    def zeros_are_wrong(self, scan_header: bytes) -> bool:
        """Whether a long sequence of zero bits in a scan must be damage.

        Sequential, one scan of all components: if end-of-block is the all-zero code of all tables, zeros are
        a plain area; else they are blocks in which every coefficient is −1, which no camera produces.
        Progressive: a plain area is one short code in AC scans, but one bit per block in DC scans.
        """
        if self.progressive:
            first_coefficient = scan_header[-3:-2]
            return first_coefficient != b"\0"
        return scan_header[:1] == bytes([self.components]) and any(self.shortest_codes)


class _DamageError(Exception):
    """The damage, described in a few words."""


def damage(content: bytes) -> str | None:
    """Describes the damage of the compressed data of a JPEG file that a decoder accepts; None without any.

    Args:
        content: content of the whole file.
    """
    try:
        layout = _layout(content)
        _check_bytes(content, layout)
        _check_lengths(content, layout)
    except _DamageError as error:
        return str(error)
    return None


def _layout(content: bytes) -> _Layout:
    layout = _Layout()
    position = 2
    while marker := _MARKER.search(content, position):
        number, begin = content[marker.end() - 1], marker.end()
        if number == _EOI:
            break
        position = begin + int.from_bytes(content[begin : begin + 2], "big")
        segment = content[begin + 2 : position]
        if number in _FRAMES and len(segment) > 5:
            layout.progressive, layout.components = number not in _SEQUENTIAL, segment[5]
        elif number == _DHT:
            layout.shortest_codes += _shortest_ac_codes(segment)
        elif number == _SOS:
            position, runs = _scan(content, position)
            layout.runs += runs
            layout.without_zeros += runs if layout.zeros_are_wrong(segment) else []
    else:
        raise _DamageError("its end is missing")
    if not layout.runs:
        raise _DamageError("it holds no image data")
    return layout


def _scan(content: bytes, begin: int) -> tuple[int, list[tuple[int, int]]]:
    """The position of the segment after a scan, and the scan's stretches of data."""
    runs: list[tuple[int, int]] = []
    while marker := _MARKER.search(content, begin):
        runs.append((begin, marker.start()))
        number = content[marker.end() - 1]
        if number in _AFTER_A_SCAN:
            return marker.end() - 2, runs
        if number != 0xD0 + (len(runs) - 1) % 8:
            raise _DamageError(f"marker {number:02X} stands within its data (byte {marker.start():,})")
        begin = marker.end()
    raise _DamageError("its end is missing")


def _shortest_ac_codes(tables: bytes) -> list[int]:
    """The first symbol, whose code is all zeros, of every AC table of a segment."""
    symbols = []
    while len(tables) > 17:
        num_symbols = sum(tables[1:17])
        if tables[0] >> 4:
            symbols.append(tables[17])
        tables = tables[17 + num_symbols :]
    return symbols


def _check_bytes(content: bytes, layout: _Layout) -> None:
    begin, end = layout.runs[0][0], layout.runs[-1][1]
    if filled := _FILLED.search(content, begin, end):
        raise _DamageError(f"its data is not readable from byte {filled.start():,} on")
    for begin, end in layout.without_zeros:
        if (zeros := content.find(_ZEROS, begin, end)) >= 0:
            raise _DamageError(f"zeros stand in place of its data from byte {zeros:,} on")


def _check_lengths(content: bytes, layout: _Layout) -> None:
    image = _decoded(content)
    longer = _with_runs(content, layout.runs, lambda data: data + _TAILS[0])
    if not _equal(_decoded(longer), image):
        raise _DamageError("its data ends before the image does")
    (begin, end), *others = layout.runs
    if others or end - begin < _MIN_DATA or image is None or not np.ptp(image[-16:]):
        return  # several ends (progressive, restart markers), or none that is detectable
    for tail in _TAILS:
        other = content[: end - len(tail)] + tail + content[end:]
        if not _equal(_decoded(other), image):
            return
    raise _DamageError("its data goes on after the image has ended")


def _with_runs(content: bytes, runs: list[tuple[int, int]], change: Callable[[bytes], bytes]) -> bytes:
    pieces, last = [], 0
    for begin, end in runs:
        pieces += [content[last:begin], change(content[begin:end])]
        last = end
    return b"".join([*pieces, content[last:]])


_Image = NDArray[np.uint8] | None


def _equal(one: _Image, other: _Image) -> bool:
    return one is not None and other is not None and np.array_equal(one, other)


def _decoded(content: bytes) -> _Image:
    """The pixels; None if the decoder fails."""
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError):
        return None
