"""Writes and reads source.json, which lists the archives of a download."""

from collections.abc import Iterable
from pathlib import Path

from icsd.errors import UserError
from icsd.files import sha256_of
from icsd.records import FetchedFile, SourceRecord, read_needed, write_record

SOURCE = "source.json"
DOWNLOAD_AGAIN = "run `dvc repro -f -s download`, then `dvc repro`"
"""Advice about a damaged download: without -f, DVC may restore its own copy of the damaged file."""


def write_source(folder: Path, dataset: str, archives: Iterable[Path]) -> None:
    """Writes source.json, which makes a folder of archives a download: their names, sizes and digests."""
    files = tuple(
        FetchedFile(name=archive.name, bytes=archive.stat().st_size, sha256=sha256_of(archive))
        for archive in sorted(archives)
    )
    write_record(folder / SOURCE, SourceRecord(dataset=dataset, files=files))


def read_source(folder: Path) -> SourceRecord:
    """Reads the source.json of a download.

    Raises:
        UserError: ``folder`` holds no complete download, or source.json is damaged; says what to do.
    """
    missing = "this is no complete download: run `dvc repro download`"
    return read_needed(folder / SOURCE, SourceRecord, missing=missing, advice=DOWNLOAD_AGAIN)


def archives_of(folder: Path) -> list[Path]:
    """The archives of a download, after checking their sizes and digests.

    Raises:
        UserError: See ``read_source``; also names all archives that are missing or differ from the download.
    """
    problems, archives = [], []
    for file in read_source(folder).files:
        archive = folder / file.name
        archives.append(archive)
        if not archive.is_file():
            problems.append(f"{archive} is missing")
        elif (size := archive.stat().st_size) != file.bytes:
            problems.append(f"{archive} has {size:,} bytes instead of {file.bytes:,}")
        elif sha256_of(archive) != file.sha256:
            problems.append(f"{archive} is not what was downloaded (SHA-256)")
    if problems:
        raise UserError(f"{'; '.join(problems)}: {DOWNLOAD_AGAIN}")
    return archives
