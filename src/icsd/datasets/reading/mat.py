"""Reads one matrix from a MATLAB file (level 5), the format of SBD's masks.

SciPy reads whole files, and a few wrong bytes can make it allocate or loop endlessly. This reader never reads
beyond the file's content, and reads only the requested matrix.
"""

import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_HEADER = 128
_MOST_BYTES = 1 << 26  # of one unpacked variable
_MATRIX, _COMPRESSED = 14, 15
_STRUCT, _FIRST_NUMERIC, _LAST_NUMERIC = 2, 6, 15  # classes of a matrix
_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}  # of the stored numbers, which may be smaller than those of the matrix

_Element = tuple[int, bytes]


def read_matrix(content: bytes, variable: str, field: str) -> NDArray[np.generic]:
    """Reads a field of a struct.

    Args:
        content: content of the whole file.
        variable: name of the struct.
        field: name of a field that holds a matrix of real numbers.

    Raises:
        ValueError: the file is of another format, damaged, or without the field.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[_HEADER - 2 : _HEADER])
    if order is None:
        raise ValueError("it is no MATLAB file of level 5")
    for kind, data in _elements(content[_HEADER:], order):
        kind_, data_ = _unpacked(data, order) if kind == _COMPRESSED else (kind, data)
        if kind_ == _MATRIX:
            parts = list(_elements(data_, order))
            if _name(parts) == variable:
                return _numbers(_field(parts, field, order), order)
    raise ValueError(f"it holds no {variable}")


def _elements(data: bytes, order: str) -> Iterator[_Element]:
    """Yields type and content of consecutive elements."""
    position = 0
    while position + 8 <= len(data):
        first, second = np.frombuffer(data, f"{order}u4", 2, position).tolist()
        is_small = first >> 16 > 0  # up to four bytes, within the eight
        kind, size = (first & 0xFFFF, first >> 16) if is_small else (first, second)
        begin = position + (4 if is_small else 8)
        if begin + size > len(data) or (is_small and size > 4):
            raise ValueError("it is cut off")
        yield kind, data[begin : begin + size]
        end = position + 8 if is_small else begin + size
        position = end if kind == _COMPRESSED else end + -end % 8


def _unpacked(data: bytes, order: str) -> _Element:
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(data, _MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"its compressed data are damaged ({error})") from error
    if not unpacker.eof:
        raise ValueError("its compressed data are cut off, or too large")
    return next(_elements(content, order), (0, b""))


def _name(parts: list[_Element]) -> str:
    return parts[2][1].decode("ascii", "replace") if len(parts) > 2 else ""


def _class(parts: list[_Element], order: str) -> int:
    flags = parts[0][1] if parts else b""
    return int(np.frombuffer(flags[:4], f"{order}u4")[0]) & 0xFF if len(flags) >= 4 else 0


def _field(parts: list[_Element], field: str, order: str) -> list[_Element]:
    if _class(parts, order) != _STRUCT or len(parts) < 5 or len(parts[3][1]) != 4:
        raise ValueError("it holds no struct")
    length = int(np.frombuffer(parts[3][1], f"{order}i4")[0])
    text = parts[4][1]
    starts = range(0, len(text), max(1, length))
    names = [text[start : start + length].rstrip(b"\0").decode("ascii", "replace") for start in starts]
    values = parts[5:]
    if field not in names or names.index(field) >= len(values):
        raise ValueError(f"it holds no {field}")
    return list(_elements(values[names.index(field)][1], order))


def _numbers(parts: list[_Element], order: str) -> NDArray[np.generic]:
    if len(parts) < 4 or not _FIRST_NUMERIC <= _class(parts, order) <= _LAST_NUMERIC:
        raise ValueError("what it holds is no matrix of numbers")
    shape = np.frombuffer(parts[1][1], f"{order}i4").tolist()
    kind, data = parts[3]
    if kind not in _TYPES:
        raise ValueError("its numbers are of an unknown type")
    return np.frombuffer(data, f"{order}{_TYPES[kind]}").reshape(shape, order="F")
