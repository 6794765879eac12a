"""configs/tuned/<dataset>.csv: every trial of every method, for people to read."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from icsd.commands.tune.trials import Trial
from icsd.csv_files import Kind, read_rows
from icsd.files import write_bytes

_COLUMNS: dict[str, Kind] = {"method": "text", "trial": "count", "factor": "number", "miou": "number"}
_ADVICE = (
    "mend that line, bring the file back with `git restore`, or delete it and tune all methods again: trials "
    "that are kept in .state/ are not repeated"
)


def check_trials(path: Path) -> None:
    """Check that the file, if there is one, can be merged with the trials of a search.

    Raises:
        UserError: It is damaged; the message names line and column.
    """
    _other_rows(path, "")


def write_trials(path: Path, method: str, trials: Sequence[Trial]) -> None:
    """Replace the method's rows in the file; an empty mIoU means that the training diverged."""
    rows: list[tuple[Any, ...]] = [
        *_other_rows(path, method),
        *((method, number, factor, miou) for number, (factor, miou) in enumerate(trials, start=1)),
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([tuple(_COLUMNS), *sorted(rows, key=lambda row: row[:2])])
    write_bytes(path, text.getvalue().encode())


def _other_rows(path: Path, method: str) -> list[tuple[Any, ...]]:
    if not path.exists():
        return []
    rows = read_rows(path, _COLUMNS, optional=("miou",), advice=_ADVICE)
    return [tuple(row.values()) for row in rows if row["method"] != method]
