"""Where a dataset's files come from, and how they get into the pipeline's folder: complete, or not at all."""

import fnmatch
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from icsd.datasets import DATASETS, Dataset, Shapes
from icsd.datasets.archives import is_archive, is_archive_name
from icsd.datasets.fetch.packing import pack
from icsd.datasets.fetch.transfer import download_url, is_url, name_of
from icsd.errors import UserError
from icsd.files import copy_file, replace_folder, sha256_of, write_json

Source = Mapping[str, str]
"""``{"url": ...}`` or ``{"path": ...}``, optionally with ``sha256``."""

DATASETS_VARIABLE = "ICSD_DATASETS"
"""Environment variable: a folder in which archives or unpacked datasets lie."""


def resolve_source(dataset_name: str, source: str | None, preset_sources: Sequence[Source]) -> list[Source]:
    """What to fetch: the user's ``source``, else what lies in $ICSD_DATASETS, else the preset's addresses.

    Args:
        dataset_name: key of ``DATASETS``.
        source: URL, local archive, or folder: one with the dataset's archives, or with the unpacked dataset.
        preset_sources: addresses of the preset; may be empty.

    Raises:
        UserError: nothing there, or no address and no file; says how to get the dataset.
    """
    dataset = DATASETS[dataset_name]
    if isinstance(dataset, Shapes):
        return []
    if source is not None:
        return [{"url": source}] if is_url(source) else _local(dataset, Path(source).expanduser())
    folder_of_datasets = os.environ.get(DATASETS_VARIABLE)
    found = _in_datasets_folder(dataset, Path(folder_of_datasets)) if folder_of_datasets else []
    if not found and not preset_sources:
        raise UserError(f"{dataset_name}: no file and no address to download from. {dataset.how_to_get}")
    return found or list(preset_sources)


def fetch(
    source: str,
    folder: Path,
    *,
    wanted: Callable[[str], bool],
    sha256: str | None = None,
    attempts: int = 5,
    timeout: float = 30.0,
    pause: float = 2.0,
) -> Path:
    """Brings one archive into ``folder`` and returns its path there.

    A URL is downloaded (and continued, see ``download_url``), a local archive is copied, a local folder is
    packed into a tar of its wanted files.

    Raises:
        UserError: see ``download_url``; also a missing path, a digest mismatch, or a file that is no archive.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if is_url(source):
        target = folder / name_of(source)
        download_url(source, target, sha256=sha256, attempts=attempts, timeout=timeout, pause=pause)
    else:
        target = _fetch_local(Path(source).expanduser(), folder, wanted)
        if sha256 and (found := sha256_of(target)) != sha256:
            target.unlink()
            raise UserError(f"{source} is not the expected file: its SHA-256 is {found}, expected {sha256}")
    if not is_archive(target):
        start = target.read_bytes()[:40] if target.stat().st_size < 1 << 20 else b""
        target.unlink()
        raise UserError(
            f"{source} is no tar or zip archive (it begins with {start!r}). A web page instead of a file "
            "means that the address asks for a login: download it in a browser and give the file's path in "
            "data.source."
        )
    return target


def download(
    dataset_name: str,
    *,
    sources: Iterable[Source],
    destination: Path,
    partial: Path | None = None,
    pause: float = 2.0,
) -> None:
    """Fetches all sources; ``destination`` appears when they are complete, with their digests in source.json.

    Unfinished downloads wait in ``partial`` (default ``<destination>.partial``; same disk) for the next call.
    ``source.json`` holds names, sizes and digests, but no path, address or date: it is the same everywhere.
    """
    partial = partial or destination.with_name(destination.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    files = [_fetch_once(dataset_name, source, partial, pause) for source in sources]
    names = {file.name for file in files}
    if len(names) != len(files):
        raise UserError(f"{dataset_name}: two sources have the same file name; rename one of them")
    for leftover in partial.iterdir():
        if leftover.name not in names:
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    described = [
        {"name": file.name, "bytes": file.stat().st_size, "sha256": sha256_of(file)} for file in sorted(files)
    ]
    write_json(partial / "source.json", {"schema": 1, "dataset": dataset_name, "files": described})
    destination.parent.mkdir(parents=True, exist_ok=True)
    replace_folder(partial, destination)


def _fetch_once(dataset_name: str, source: Source, partial: Path, pause: float) -> Path:
    """As ``fetch``, but an archive that an interrupted call had already completed is not fetched again."""
    dataset = DATASETS[dataset_name]
    place, sha256 = source.get("url") or source["path"], source.get("sha256")
    finished = partial / (name_of(place) if is_url(place) else Path(place).name)
    if sha256 and finished.is_file() and sha256_of(finished) == sha256:
        return finished
    wanted = dataset.wanted if not isinstance(dataset, Shapes) else lambda member: False
    return fetch(place, partial, wanted=wanted, sha256=sha256, pause=pause)


def _fetch_local(source: Path, folder: Path, wanted: Callable[[str], bool]) -> Path:
    if source.is_dir():
        target = folder / f"{source.resolve().name}.tar"
        pack(source, target, wanted=wanted)
    elif source.is_file():
        target = folder / source.name
        copy_file(source, target)
    else:
        raise UserError(f"data.source: there is no file or folder {source}")
    return target


def _local(dataset: Dataset, path: Path) -> list[Source]:
    """A folder with the dataset's archives means these; any other folder or file means itself."""
    if not path.exists():
        raise UserError(f"data.source: there is no file or folder {path}")
    return (_archives_in(dataset, path) if path.is_dir() else []) or [{"path": str(path)}]


def _in_datasets_folder(dataset: Dataset, folder_of_datasets: Path) -> list[Source]:
    if not folder_of_datasets.is_dir():
        raise UserError(f"{DATASETS_VARIABLE} names {folder_of_datasets}, which is not a folder")
    found = _archives_in(dataset, folder_of_datasets)
    if found:
        return found
    for pattern in dataset.folders:
        for folder in _matching(folder_of_datasets, pattern):
            if folder.is_dir():
                return _local(dataset, folder)
    return []


def _archives_in(dataset: Dataset, folder: Path) -> list[Source]:
    """One file per archive of the dataset, or nothing when a needed one is missing."""
    found: list[Source] = []
    for archive in dataset.archives:
        paths = [path for pattern in archive.patterns for path in _matching(folder, pattern)]
        files = [path for path in paths if path.is_file() and is_archive_name(path.name)]
        if not files and archive.needed:
            return []
        found += [{"path": str(path)} for path in files[:1]]
    return found


def _matching(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.iterdir() if fnmatch.fnmatch(path.name.lower(), pattern))
