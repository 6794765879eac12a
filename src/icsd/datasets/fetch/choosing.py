"""Chooses the files to fetch: the packages that hold the dataset, among others in a folder."""

import fnmatch
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from icsd.datasets import Archive, Dataset, Shapes, dataset_of
from icsd.datasets.archives import is_archive_name, member_names, without_suffix
from icsd.datasets.fetch.address import check_no_login, check_protected, is_url
from icsd.errors import UserError

Source = Mapping[str, str]
"""``{"url": ...}`` or ``{"path": ...}``, optionally with ``sha256``."""

DATASETS_VARIABLE = "ICSD_DATASETS"
"""Environment variable that names a folder with archives or unpacked datasets."""


def resolve_source(
    dataset: str | Dataset | Shapes, source: str | None, preset_sources: Sequence[Source]
) -> list[Source]:
    """What to fetch: the user's ``source``, else files in $ICSD_DATASETS, else the preset's addresses.

    Args:
        dataset: key of ``DATASETS``, or a dataset.
        source: URL, local archive, or folder with the dataset's archives or with the unpacked dataset.
        preset_sources: addresses of the preset; may be empty.

    Raises:
        UserError: ``source`` does not exist, or there is neither file nor address; says how to get the
            dataset. Also for an address of an unsupported scheme.
    """
    dataset = dataset_of(dataset)
    if isinstance(dataset, Shapes):
        return []
    if source is not None:
        return [{"url": source}] if is_url(source) else _local(dataset, source)
    folder = os.environ.get(DATASETS_VARIABLE)
    sources = _in_folder_of_datasets(dataset, Path(folder)) if folder else []
    if not sources and not preset_sources:
        looked = f" ${DATASETS_VARIABLE} ({folder}) holds none of its files, either." if folder else ""
        raise UserError(
            f"{dataset.name}: no file and no address to download from.{looked} {dataset.how_to_get}"
        )
    return sources or list(preset_sources)


def check_addresses(source: str | None, preset_sources: Sequence[Source]) -> None:
    """Raises UserError for an address that holds a login, or that would be used and is not protected."""
    for url in [
        *([source] if source and is_url(source) else []),
        *(preset["url"] for preset in preset_sources),
    ]:
        check_no_login(url)
    if source is None:
        for preset in preset_sources:
            check_protected(preset["url"], sha256=preset.get("sha256"))
    elif is_url(source):
        check_protected(source)


def _local(dataset: Dataset, source: str) -> list[Source]:
    """The dataset's archives in a folder ``source``; without these, the file or folder itself."""
    try:
        path = Path(source).expanduser()
        if not path.exists():
            raise UserError(f"data.source: there is no file or folder {path}")
        packages = _packages_in(dataset, path) if path.is_dir() else []
    except UserError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"data.source: {source} cannot be read: {error}") from error
    return packages or [{"path": str(path)}]


def _in_folder_of_datasets(dataset: Dataset, folder: Path) -> list[Source]:
    if not folder.is_dir():
        raise UserError(f"{DATASETS_VARIABLE} names {folder}, which is no folder")
    packages = _packages_in(dataset, folder)
    if packages:
        return packages
    for pattern in dataset.folders:
        for unpacked in _matching(folder, pattern):
            if unpacked.is_dir():
                return _packages_in(dataset, unpacked) or [{"path": str(unpacked)}]
    return []


def _packages_in(dataset: Dataset, folder: Path) -> list[Source]:
    """One file per archive of the dataset; empty if a needed one is missing."""
    sources: list[Source] = []
    for archive in dataset.archives:
        packages = list(_candidates(archive, folder))
        package = _fitting(archive, packages, folder)
        if package is not None:
            sources.append({"path": str(package)})
        elif archive.needed:
            return []
    return sources


def _candidates(archive: Archive, folder: Path) -> Iterator[Path]:
    paths = dict.fromkeys(path for pattern in archive.patterns for path in _matching(folder, pattern))
    yield from (path for path in paths if path.is_file() and is_archive_name(path.name))


def _fitting(archive: Archive, packages: Sequence[Path], folder: Path) -> Path | None:
    """The matching package: the only one, the one named as published, or the one that holds the files.

    Datasets come in packages with similar names (extra images, coarse labels), of which one is needed.
    """
    named = [package for package in packages if _is_named(package, archive.published)]
    if len(packages) <= 1 or len(named) == 1:
        return next(iter(named or packages), None)
    holding = [package for package in named or packages if _holds(package, archive)]
    if len(holding) == 1:
        return holding[0]
    if not holding and not archive.needed:
        return None
    names = ", ".join(package.name for package in holding or packages)
    problem = (
        f"each of {names} holds files like {archive.holds.shown}: move away those that are not meant"
        if holding
        else f"none of {names} holds files like {archive.holds.shown}; the package is {archive.published}"
    )
    raise UserError(f"In {folder}, {problem}")


def _is_named(package: Path, published: str) -> bool:
    return without_suffix(package.name).casefold() == published.casefold()


def _holds(package: Path, archive: Archive) -> bool:
    try:
        return any(archive.holds.pattern.search(name) for name in member_names(package))
    except UserError:  # damaged; another one may be intact
        return False


def _matching(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.iterdir() if fnmatch.fnmatch(path.name.lower(), pattern))
