"""Lines with checksums, and the handling of damaged files."""

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from icsd.tracking.messages import log

Record = dict[str, Any]


def encoded(record: Record) -> bytes:
    """``[checksum, record]`` and a line feed."""
    text = json.dumps(record, ensure_ascii=False).encode(errors="replace")
    return b"[%d, %b]\n" % (zlib.crc32(text), text)


def decoded(line: bytes) -> object:
    """The content of a line.

    Raises:
        ValueError: The line is incomplete, or differs from what was written.
    """
    text = line.strip()
    if not text.startswith(b"{"):  # the format of earlier versions
        checksum, _, text = text[1:-1].partition(b", ")
        if int(checksum) != zlib.crc32(text):
            raise ValueError("the checksum differs")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


class Line(NamedTuple):
    """A complete line: its byte range in the file, and its record (None if it cannot be read)."""

    start: int
    end: int
    record: Record | None


def read_lines(path: Path, position: int) -> Iterator[Line]:
    """The complete lines from ``position``; skips an incomplete last line, which a killed process leaves."""
    with path.open("rb") as file:
        file.seek(position)
        for line in file:
            if not line.endswith(b"\n") and line.startswith((b"[", b"{")):
                return
            end = position + len(line)
            if line.strip():
                yield Line(position, end, _record(line))
            position = end


def _record(line: bytes) -> Record | None:
    try:
        record = decoded(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("kind"), str) else None


def free_name(path: Path, ending: str = "damaged") -> Path:
    """``name.damaged-1``, or the same with the next free number."""
    names = (path.with_name(f"{path.name}.{ending}-{number}") for number in range(1, 10_000))
    return next(name for name in names if not os.path.lexists(name))


def say_kept(path: Path, place: Path) -> None:
    """Warn that a file is damaged, and say where it is kept."""
    log.warning("%s cannot be read: it is kept as %s, and what is readable is used", path, place.name)


def set_aside(path: Path) -> None:
    """Rename an unreadable file or folder, so that it is kept, and warn.

    Raises:
        OSError: It cannot be renamed.
    """
    if not os.path.lexists(path):
        return
    place = free_name(path)
    path.rename(place)
    say_kept(path, place)
