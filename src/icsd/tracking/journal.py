"""The journal of a run: every record reaches the disk first, and the tracking server when it answers.

``journal.jsonl`` holds one JSON record per line; ``delivered.json`` says how far the server has it, in
bytes. A record is written before anything is sent, so a killed process loses nothing that it had logged. (A
power failure may lose the last records: the outputs of a stage are the truth, not its tracking.)
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from icsd.files import write_bytes
from icsd.runs import main_root

Record = dict[str, Any]
# Measurements of the machine: a repeated epoch cannot reproduce them, so the first point stands.
_VOLATILE = "system/"


def journal_folders(root: Path) -> list[Path]:
    """The folders of all journals below the ignored ``.state``."""
    return sorted(path.parent for path in (main_root(root) / ".state").rglob("journal.jsonl"))


def journal_lock(folder: Path) -> FileLock:
    """Held by the process that records into the journal in ``folder``, or delivers it."""
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "lock")


class Journal:
    """The records of one run in ``folder``, and how many of them have been delivered.

    Args:
        folder: Created when missing; an existing journal is continued.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "journal.jsonl"
        self._progress = folder / "delivered.json"
        self._delivered = self._attempted = self._size = 0
        self._values: dict[tuple[str, int], float] = {}
        self._images: dict[tuple[str, int], Record] = {}
        self._waiting: list[tuple[Record, int]] = []
        self._load()

    def append(self, record: Record) -> None:
        """Write a record to the disk."""
        line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        with self._path.open("ab") as file:
            file.write(line)
        self._notice(record, self._size + len(line))

    def unknown(self, metrics: Mapping[str, float], step: int) -> dict[str, float]:
        """The points that the journal does not hold yet; a point with a new value counts as unknown."""
        return {key: value for key, value in metrics.items() if not self._knows(key, step, value)}

    def image(self, key: str, step: int) -> Record | None:
        """The record of the picture that this key and step already have."""
        return self._images.get((key, step))

    def waiting(self) -> list[tuple[Record, int]]:
        """The records to deliver, in order, each with the position that marks it as delivered."""
        return list(self._waiting)

    def attempt(self, position: int) -> None:
        """Note that the records up to ``position`` are on their way: from now on the server may have them."""
        if position > self._attempted:
            self._attempted = position
            self._save_progress()

    def deliver(self, position: int) -> None:
        """Note that the server has the records up to ``position``."""
        self._delivered = position
        self._waiting = [(record, end) for record, end in self._waiting if end > position]
        self._save_progress()

    def restart(self) -> None:
        """Deliver everything again: the store that had it is gone."""
        self._delivered = self._attempted = 0
        self._save_progress()
        self._load()

    def rewind(self, step: int) -> None:
        """Drop points and pictures after ``step`` that no server can have: they will be logged again."""
        kept = [
            line
            for line, record, end in _lines(self._path)
            if end <= self._attempted or record.get("step", step) <= step
        ]
        write_bytes(self._path, b"".join(kept))
        self._load()

    def _load(self) -> None:
        progress = json.loads(self._progress.read_bytes()) if self._progress.exists() else {}
        self._delivered, self._attempted = progress.get("delivered", 0), progress.get("attempted", 0)
        self._values, self._images, self._waiting = {}, {}, []
        self._size = 0
        for _, record, end in _lines(self._path):
            self._notice(record, end)
        if self._path.exists() and self._path.stat().st_size > self._size:
            with self._path.open("rb+") as file:  # the process was killed while it wrote its last line
                file.truncate(self._size)

    def _notice(self, record: Record, end: int) -> None:
        self._size = end
        match record["kind"]:
            case "metrics":
                self._values |= {(key, record["step"]): value for key, value in record["values"].items()}
            case "image":
                self._images[record["key"], record["step"]] = record
        if end > self._delivered:
            self._waiting.append((record, end))

    def _knows(self, key: str, step: int, value: float) -> bool:
        known = self._values.get((key, step))
        if known is None:
            return False
        both_nan = known != known and value != value
        return known == value or both_nan or key.startswith(_VOLATILE)

    def _save_progress(self) -> None:
        progress = {"delivered": self._delivered, "attempted": self._attempted}
        write_bytes(self._progress, json.dumps(progress).encode())


def _lines(path: Path) -> list[tuple[bytes, Record, int]]:
    """The complete lines of a journal: the bytes, the record, and the position after it."""
    lines: list[tuple[bytes, Record, int]] = []
    end = 0
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
        if not line.endswith(b"\n"):
            break
        end += len(line)
        lines.append((line, json.loads(line), end))
    return lines
