"""Brings a dataset's files into the pipeline's folder: complete and undamaged, or not at all."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from icsd.datasets import Dataset, Shapes, dataset_of
from icsd.datasets.archives import is_archive, verify
from icsd.datasets.fetch.address import check_no_login, check_protected, is_url, name_of, shown
from icsd.datasets.fetch.choosing import Source
from icsd.datasets.fetch.contents import check_contents, left_out
from icsd.datasets.fetch.packing import names_below, pack, walk
from icsd.datasets.fetch.transfer import download_url
from icsd.datasets.file_kinds import NUM_BYTES, what_it_is
from icsd.datasets.findings import Finding
from icsd.datasets.source import read_source, write_source
from icsd.errors import UserError
from icsd.files import copy_file, replace_folder, sha256_of


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

    A URL is downloaded (and resumed, see ``download_url``), a local archive is copied, a local folder is
    packed into a tar of its wanted files.

    Raises:
        UserError: see ``download_url``; also a missing path, a digest mismatch, or a file that is no archive.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if is_url(source):
        check_no_login(source)
        check_protected(source, sha256=sha256)
        target = folder / name_of(source)
        download_url(source, target, sha256=sha256, attempts=attempts, timeout=timeout, pause=pause)
    else:
        target = _fetch_local(Path(source).expanduser(), folder, wanted)
        if sha256 and (actual := sha256_of(target)) != sha256:
            target.unlink()
            raise UserError(f"{source} is not the expected file: its SHA-256 is {actual}, expected {sha256}")
    if not is_archive(target):
        with target.open("rb") as stream:
            found = what_it_is(stream.read(NUM_BYTES))
        target.unlink()
        raise UserError(f"{_shown(source)} is no tar or zip archive: {found}. {_advice(found)}")
    return target


def download(
    dataset: str | Dataset | Shapes,
    *,
    sources: Iterable[Source],
    destination: Path,
    partial: Path | None = None,
    pause: float = 2.0,
) -> list[Finding]:
    """Fetches all sources; ``destination`` appears when they are complete, with their digests in source.json.

    Every archive is read once from beginning to end, so that no damaged one becomes an output that DVC keeps.
    Unfinished downloads stay in ``partial`` (default ``<destination>.partial``) for the next call; no other
    process may use it meanwhile. ``source.json`` holds names, sizes and digests, but no path, address or
    date, so it is the same on every machine.

    Returns:
        What to warn of; see ``left_out``.

    Raises:
        UserError: see ``fetch``; also if an archive is damaged, or a part of the dataset is missing.
    """
    partial = partial or destination.with_name(destination.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    dataset = dataset_of(dataset)
    files: dict[str, Path] = {}
    names: dict[str, list[str]] = {}
    for source in sources:
        _check_folder(dataset, source)
        file = _fetch_once(dataset, source, partial, pause)
        if file.name in files:
            raise UserError(f"{dataset.name}: two sources have the same file name; rename one of them")
        files[file.name] = file
        names[_shown(_place(source))] = _checked(dataset, source, file)
    warnings: list[Finding] = []
    if not isinstance(dataset, Shapes):
        check_contents(dataset, names)
        warnings = left_out(dataset, names)
    for leftover in partial.iterdir():
        if leftover.name not in files:
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    write_source(partial, dataset.name, files.values())
    destination.parent.mkdir(parents=True, exist_ok=True)
    replace_folder(partial, destination)
    check_complete(destination)
    return warnings


def check_complete(folder: Path) -> None:
    """Raises UserError unless a folder holds a download, every archive as large as source.json says."""
    for file in read_source(folder).files:
        archive = folder / file.name
        if not archive.is_file() or archive.stat().st_size != file.bytes:
            raise UserError(f"{archive} is missing or cut off: is another process writing there?")


def _check_folder(dataset: Dataset | Shapes, source: Source) -> None:
    """Refuses a folder without any file of the dataset, and says what it holds."""
    folder = Path(source.get("path", "")).expanduser()
    is_folder = "path" in source and folder.is_dir()
    if is_folder and not isinstance(dataset, Shapes) and not any(walk(folder, dataset.wanted)):
        check_contents(dataset, {_shown(_place(source)): names_below(folder)})


def _fetch_once(dataset: Dataset | Shapes, source: Source, partial: Path, pause: float) -> Path:
    """Calls ``fetch``, except for an archive with the right digest that an interrupted call completed."""
    place, sha256 = _place(source), source.get("sha256")
    finished = partial / (name_of(place) if is_url(place) else Path(place).name)
    if sha256 and finished.is_file() and sha256_of(finished) == sha256:
        return finished
    wanted = dataset.wanted if not isinstance(dataset, Shapes) else lambda member: False
    return fetch(place, partial, wanted=wanted, sha256=sha256, pause=pause)


def _checked(dataset: Dataset | Shapes, source: Source, file: Path) -> list[str]:
    """Verifies a source's archive, and returns the names of all files in the source."""
    wanted = dataset.wanted if not isinstance(dataset, Shapes) else lambda member: False
    try:
        names = verify(file, wanted=wanted)
    except UserError:
        file.unlink()
        raise
    folder = Path(_place(source)).expanduser()
    return names_below(folder) if "path" in source and folder.is_dir() else names


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


def _advice(found: str) -> str:
    """Advice about a file that is not an archive."""
    if "web page" in found or "JSON" in found:
        return (
            "A page instead of a file means that the address asks for a login or a click: download the file "
            "in a browser and give its path in data.source."
        )
    if "archive" in found or " file" in found:
        return "Unpack it with the program that made it, and give the folder in data.source."
    return "Get the file again from where it came from, and give its path in data.source."


def _place(source: Source) -> str:
    return source.get("url") or source["path"]


def _shown(place: str) -> str:
    return shown(place) if is_url(place) else place
