"""Read back CSV files written by commands, with a type for every column."""

import csv
import io
import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Literal

from icsd.errors import UserError

Kind = Literal["text", "number", "count"]
Value = str | float | int | None


def read_rows(
    path: Path, columns: Mapping[str, Kind], *, optional: Collection[str] = (), advice: str
) -> list[dict[str, Value]]:
    """The rows of a file.

    Args:
        path: The file.
        columns: All of its columns, in order, and the kind of their values.
        optional: Columns whose cells may be empty; an empty cell is read as None.
        advice: What to do about a damaged file, for the message.

    Raises:
        FileNotFoundError: There is no such file.
        UserError: It is damaged; names line and column.
    """
    content = path.read_bytes()

    def damaged(line: int, what: str) -> UserError:
        return UserError(f"{path}: line {line}{what}; {advice}")

    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
    except UnicodeDecodeError as error:
        raise damaged(content[: error.start].count(b"\n") + 1, " is not UTF-8") from None
    rows: list[dict[str, Value]] = []
    try:
        header = next(reader, [])
        if header != list(columns):
            raise damaged(1, f": the columns are {','.join(header)!a}, not {','.join(columns)}")
        for cells in reader:
            if len(cells) != len(columns):
                raise damaged(reader.line_num, f" has {len(cells)} cells, not {len(columns)}")
            row: dict[str, Value] = {}
            for (name, kind), cell in zip(columns.items(), cells, strict=True):
                try:
                    row[name] = None if not cell and name in optional else _PARSERS[kind](cell)
                except ValueError:
                    raise damaged(reader.line_num, f", column {name}: {cell[:40]!a} is no {kind}") from None
            rows.append(row)
    except csv.Error as error:
        raise damaged(reader.line_num, f" is no CSV ({error})") from None
    return rows


def _text(cell: str) -> str:
    if not cell:
        raise ValueError("empty")
    return cell


def _number(cell: str) -> float:
    number = float(cell)
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def _count(cell: str) -> int:
    number = int(cell)
    if number < 0:
        raise ValueError("negative")
    return number


_PARSERS: Mapping[Kind, Callable[[str], str | float | int]] = {
    "text": _text,
    "number": _number,
    "count": _count,
}
