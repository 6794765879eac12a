"""The table of ``bench``: aligned text, or Markdown, CSV or JSON with a description of the machine."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from icsd.deployment.latency import Latency
from icsd.errors import UserError

SUFFIXES = (".md", ".csv", ".json")
_COLUMNS = ("model", "form", "size", "threads", "p50 ms", "p95 ms", "images/s", "peak MB", "file MB", "calls")
_TEXT = 2
"""Number of text columns at the left."""


@dataclass(frozen=True)
class Measured:
    """A line of the table: the model as it was typed, its form, and the measurement."""

    model: str
    form: str
    latency: Latency


def check_suffix(out: Path) -> None:
    """Raise UserError for an unknown format."""
    if out.suffix not in SUFFIXES:
        raise UserError(f"--out {out}: a table is written as {', '.join(SUFFIXES)}; end the name in one")


def to_text(measured: Sequence[Measured]) -> str:
    """A table with aligned columns; without the model's column if there is only one model."""
    rows = [_COLUMNS, *map(_cells, measured)]
    if len({each.model for each in measured}) == 1:
        rows = [row[1:] for row in rows]
    text = len(rows[0]) - len(_COLUMNS) + _TEXT
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.ljust(width) if place < text else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


def to_file(measured: Sequence[Measured], machine: Mapping[str, str], suffix: str) -> bytes:
    """The content of a file in the format of its suffix."""
    writers = {".md": _markdown, ".csv": _csv, ".json": _json}
    return writers[suffix](measured, machine).encode()


def spoken(machine: Mapping[str, str]) -> str:
    """The machine on one line."""
    return ", ".join(value if key == "cpu" else f"{key} {value}" for key, value in machine.items())


def _cells(each: Measured) -> tuple[str, ...]:
    latency = each.latency
    bytes_ = latency.file_bytes
    return (
        each.model,
        each.form,
        f"{latency.size[0]}×{latency.size[1]}" + (f"×{latency.batch}" if latency.batch > 1 else ""),
        str(latency.threads),
        _number(latency.p50_ms),
        _number(latency.p95_ms),
        _number(latency.images_per_second),
        "–" if latency.peak_megabytes is None else f"{latency.peak_megabytes:.0f}",
        "–" if bytes_ is None else f"{bytes_ / 1e6:.1f}",
        str(latency.calls),
    )


def _number(value: float) -> str:
    """Three significant digits, or all digits before the point."""
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def _markdown(measured: Sequence[Measured], machine: Mapping[str, str]) -> str:
    aligned = ["---"] * _TEXT + ["---:"] * (len(_COLUMNS) - _TEXT)
    rows = [_COLUMNS, aligned, *map(_cells, measured)]
    table = "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)
    return f"{spoken(machine)}\n\n{table}\n"


def _record(each: Measured) -> dict[str, str | int | float | None]:
    latency = each.latency
    return {
        "model": each.model,
        "form": each.form,
        "height": latency.size[0],
        "width": latency.size[1],
        "batch": latency.batch,
        "threads": latency.threads,
        "calls": latency.calls,
        "p50_ms": latency.p50_ms,
        "p95_ms": latency.p95_ms,
        "images_per_second": latency.images_per_second,
        "peak_megabytes": latency.peak_megabytes,
        "file_bytes": latency.file_bytes,
    }


def _csv(measured: Sequence[Measured], machine: Mapping[str, str]) -> str:
    content = io.StringIO(newline="")
    records = [{**_record(each), **machine} for each in measured]
    writer = csv.DictWriter(content, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return content.getvalue()


def _json(measured: Sequence[Measured], machine: Mapping[str, str]) -> str:
    content = {"machine": dict(machine), "rows": [_record(each) for each in measured]}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
