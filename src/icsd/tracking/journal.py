"""The journal of a run: every record is written to disk first, and sent to the server when it answers.

``journal.jsonl`` holds one line per record, ``[checksum, record]``; the first describes the run.
``delivered.json`` has the position in bytes up to which they were delivered. A record is written before
anything is sent, so a killed process loses nothing that it had logged. (A power failure may lose the last
records: the outputs of a stage are authoritative, not its tracking.) Of damaged files, the readable records
are delivered.
"""

import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from filelock import FileLock
from pydantic import NonNegativeInt, TypeAdapter

from icsd.files import files_below, write_bytes
from icsd.runs import main_root
from icsd.tracking.lines import Line, Record, decoded, encoded, free_name, read_lines, say_kept, set_aside
from icsd.tracking.messages import log

FILE = "journal.jsonl"
# Measurements of the machine: a repeated epoch cannot reproduce them, so the first point is kept.
_VOLATILE = "system/"
_LINES_PER_BATCH = 100


@dataclass
class Progress:
    """How far a journal has been delivered, and to which run.

    Attributes:
        delivered: The store has the records before this byte, except those in ``postponed``.
        attempted: The store may have the records before this byte.
        postponed: First bytes of the records that the store did not accept although it answered.
        run_id: None until the run exists in the store.
        former: Earlier ids of the run, in stores that have lost it since.
    """

    delivered: NonNegativeInt = 0
    attempted: NonNegativeInt = 0
    postponed: list[NonNegativeInt] = field(default_factory=list)
    run_id: str | None = None
    former: list[str] = field(default_factory=list)


def journal_folders(root: Path) -> list[Path]:
    """The folders of all journals below the ignored ``.state``."""
    return sorted(path.parent for path in files_below(main_root(root) / ".state") if path.name == FILE)


def journal_lock(folder: Path) -> FileLock:
    """The lock that a process holds while it writes or delivers the journal in ``folder``."""
    for path, is_right in ((folder, Path.is_dir), (folder / "lock", Path.is_file)):
        if not is_right(path) or path.is_symlink():
            set_aside(path)
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "lock", thread_local=False)


def is_waiting(folder: Path) -> bool:
    """Whether records in ``folder`` are pending; reads only, so the lock is not needed."""
    try:
        size = (folder / FILE).stat().st_size
    except OSError:
        return (folder / FILE).is_symlink()  # a dangling one
    try:
        progress = read_progress(folder)
    except (OSError, ValueError):
        return True
    return progress.delivered != size or bool(progress.postponed)


class Journal:
    """The records of one run in ``folder``, and how many of them have been delivered; thread-safe.

    Args:
        folder: Created if missing; an existing journal is continued. The caller holds its lock.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / FILE
        self._lock = threading.RLock()
        self._values: dict[tuple[str, int], float] = {}
        self._images: dict[tuple[str, int], Record] = {}
        self._size = 0
        self._torn = self._complained = False
        self.run: Record | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.progress = self._load_progress()
        self._load()

    def append(self, record: Record) -> None:
        """Write a record to disk; warn if it cannot be written."""
        with self._lock:
            line = encoded(record)
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                with self._path.open("ab") as file:
                    if file.tell() < self.progress.delivered:  # somebody emptied the file
                        self._deliver_again()
                    file.write(b"\n" + line if self._torn else line)
            except OSError as error:
                self._torn = True  # half a line may be there
                self._complain(error)
                return
            self._torn = False
            self._notice(record)

    def unknown(self, metrics: Mapping[str, float], step: int) -> dict[str, float]:
        """The points that the journal does not hold yet; a point with a new value counts as unknown."""
        return {key: value for key, value in metrics.items() if not self._knows(key, step, value)}

    def image(self, key: str, step: int) -> Record | None:
        """The record of the image already logged under this key and step; None without one."""
        return self._images.get((key, step))

    @property
    def waiting(self) -> int:
        """Number of pending records."""
        with self._lock:
            later = sum(bool(line.record) for line in self._lines(self.progress.delivered))
            return len(self.progress.postponed) + later

    def take(self) -> list[Line]:
        """The next batch of records to send; notes that the store may have them from now on."""
        with self._lock:
            lines: list[Line] = []
            end = self.progress.delivered
            for line in self._lines(end):
                end = line.end
                lines += [line] if line.record else []
                if len(lines) == _LINES_PER_BATCH:
                    break
            if not lines and end > self.progress.delivered:  # the remaining lines cannot be read
                self.deliver(end)
            if lines and end > self.progress.attempted:
                self.progress.attempted = end
                self._save_progress()
            return lines

    def postponed(self) -> Iterator[Line]:
        """The records that the store did not accept although it answered."""
        for start in list(self.progress.postponed):
            line = next(self._lines(start), None)
            if line and line.record:
                yield line
            else:
                self.settle(start)

    def deliver(self, end: int, *, postponed: list[int] | None = None) -> None:
        """Note that the store has the records before ``end``, except the ``postponed`` ones."""
        with self._lock:
            self.progress.delivered = end
            self.progress.postponed += postponed or []
            self._save_progress()

    def settle(self, start: int) -> None:
        """Note that a postponed record is no longer pending."""
        with self._lock:
            self.progress.postponed.remove(start)
            self._save_progress()

    def attach(self, run_id: str | None, former: list[str], *, lost: bool) -> None:
        """Note which run the records belong to; if the store ``lost`` it, everything is sent again."""
        with self._lock:
            self.progress.run_id, self.progress.former = run_id, former
            if lost:
                self._deliver_again()
            self._save_progress()

    def rewind(self, step: int) -> None:
        """Drop points and images after ``step`` that were never sent: they will be logged again."""
        with self._lock:
            lines = list(self._lines(0))
            content = self._path.read_bytes() if lines else b""
            kept = [
                content[line.start : line.end]
                for line in lines
                if line.start < self.progress.attempted
                or (line.record and line.record.get("step", step) <= step)
            ]
            write_bytes(self._path, b"".join(kept))
            self._load()

    def _save_progress(self) -> None:
        """Write delivered.json; if that fails, the next process sends some records again."""
        try:
            write_bytes(self.folder / "delivered.json", encoded(asdict(self.progress)))
        except OSError as error:
            self._complain(error)

    def _load_progress(self) -> Progress:
        try:
            return read_progress(self.folder)
        except (OSError, ValueError):
            self._try_to_set_aside(self.folder / "delivered.json")
            return Progress(attempted=self._path.stat().st_size if self._path.is_file() else 0)

    def _load(self) -> None:
        self._values, self._images, self.run, self._size = {}, {}, None, 0
        try:
            lines = list(read_lines(self._path, 0)) if os.path.lexists(self._path) else []
        except OSError:
            self._try_to_set_aside(self._path)
            lines = []
        readable = [line.record for line in lines if line.record and self._notice(line.record)]
        self._size = lines[-1].end if lines else 0
        if len(readable) < len(lines):
            self._mend(readable)
        elif self._path.is_file() and self._path.stat().st_size > self._size:
            self._truncate()
        if self.progress.delivered > self._size:  # delivered.json belongs to another journal
            self._deliver_again()
            self.progress.attempted = self._size

    def _lines(self, position: int) -> Iterator[Line]:
        """``read_lines`` of the journal; ends with a warning if the file cannot be read."""
        try:
            yield from read_lines(self._path, position) if self._path.is_file() else ()
        except OSError as error:
            self._complain(error)

    def _mend(self, readable: list[Record]) -> None:
        """Keep a copy of the damaged journal under another name, and continue with its readable records."""
        copy, content = free_name(self._path), b"".join(map(encoded, readable))
        try:
            shutil.copyfile(self._path, copy)
            self._deliver_again()  # sending a record twice adds nothing
            self.progress.attempted = len(content)
            self._save_progress()
            write_bytes(self._path, content)
        except OSError as error:
            self._complain(error)
        else:
            self._size = len(content)
            say_kept(self._path, copy)

    def _truncate(self) -> None:
        """Remove the incomplete last line of a process that was killed while writing it."""
        try:
            with self._path.open("rb+") as file:
                file.truncate(self._size)
        except OSError:
            self._torn = True

    def _try_to_set_aside(self, path: Path) -> None:
        try:
            set_aside(path)
        except OSError as error:
            self._complain(error)

    def _deliver_again(self) -> None:
        self.progress.delivered = self.progress.attempted = 0
        self.progress.postponed = []

    def _notice(self, record: Record) -> bool:
        """Remember the content of a record. False if it is malformed."""
        try:
            match record["kind"]:
                case "run":
                    self.run = self.run or record
                case "metrics":
                    step = int(record["step"])
                    self._values |= {(key, step): float(value) for key, value in record["values"].items()}
                case "image":
                    self._images[record["key"], record["step"]] = record
        except (KeyError, TypeError, ValueError, AttributeError):
            return False
        return True

    def _knows(self, key: str, step: int, value: float) -> bool:
        known = self._values.get((key, step))
        if known is None:
            return False
        both_nan = known != known and value != value
        return known == value or both_nan or key.startswith(_VOLATILE)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            log.warning("the records for MLflow in %s cannot be kept on disk: %s", self.folder, error)
        self._complained = True


_PROGRESS = TypeAdapter(Progress)


def read_progress(folder: Path) -> Progress:
    """How far a journal has been delivered; ValueError or OSError if delivered.json is unreadable."""
    path = folder / "delivered.json"
    return _PROGRESS.validate_python(decoded(path.read_bytes())) if os.path.lexists(path) else Progress()
