"""Detects changes of a dataset's source files since the download; DVC does not look outside the project."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from icsd.datasets import Dataset, Shapes, dataset_of
from icsd.datasets.fetch.choosing import Source
from icsd.datasets.fetch.packing import walk
from icsd.datasets.findings import counted
from icsd.datasets.source import DOWNLOAD_AGAIN, SOURCE
from icsd.errors import UserError
from icsd.files import sha256_of
from icsd.records import Digest, Record, read_record, write_record


class Listing(Record):
    """The files of local sources, as they were when they were fetched.

    Attributes:
        download: Digest of the source.json that belongs to it.
        files: Name, or path within a folder -> size in bytes, and modification time in nanoseconds.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    download: Digest
    files: dict[str, tuple[int, int]]


def files_of(dataset: str | Dataset | Shapes, sources: Iterable[Source]) -> dict[str, tuple[int, int]]:
    """The files that would be fetched from local sources; in a folder, only those of the dataset."""
    dataset = dataset_of(dataset)
    files: dict[str, Path] = {}
    for source in sources:
        place = Path(source.get("path", "")).expanduser()
        if "path" in source and not isinstance(dataset, Shapes):
            files |= dict(walk(place, dataset.wanted)) if place.is_dir() else {place.name: place}
    return {name: _state(path) for name, path in sorted(files.items()) if path.is_file()}


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def remember(note: Path, raw: Path, files: dict[str, tuple[int, int]]) -> None:
    """Stores the files that ``raw`` was fetched from, as they were listed before the download."""
    write_record(note, Listing(download=sha256_of(raw / SOURCE), files=files))


def check_unchanged(note: Path, raw: Path, files: dict[str, tuple[int, int]]) -> bool:
    """Raises UserError if files have changed since they were fetched to ``raw``; names all of them.

    It is no change if all files are gone, since they are not needed any more; if only some are, it is.

    Returns:
        Whether there was anything to compare; False without a note of this download.
    """
    try:
        before = read_record(note, Listing)
        is_of_this_download = before.download == sha256_of(raw / SOURCE)
    except (UserError, OSError):
        return False
    if not is_of_this_download or not before.files or not files:
        return False
    changed = [name for name, state in files.items() if before.files.get(name) != state]
    gone = [name for name in before.files if name not in files]
    if changed or (gone and len(gone) < len(before.files)):
        found = counted("{} files of data.source have changed since the download", changed + gone)
        raise UserError(f"{found}. To use what is there now, {DOWNLOAD_AGAIN}")
    return True
