"""Packs a user's folder into a reproducible archive."""

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from icsd.datasets.archives import Wanted
from icsd.datasets.members import is_text, member_path
from icsd.errors import UserError, some
from icsd.files import check_disk_space, file_written_whole, files_below


def pack(folder: Path, target: Path, *, wanted: Wanted) -> None:
    """Packs the wanted files below ``folder`` into a tar; its bytes depend on names and contents alone."""
    members = dict(sorted(walk(folder, wanted)))
    if not members:
        raise UserError(
            f"The folder {folder.name} (data.source) holds no file of this dataset; is it the right one?"
        )
    _check_readable(members)
    check_disk_space(target.parent, sum(path.stat().st_size for path in members.values()))
    try:
        with (
            file_written_whole(target) as file,
            tarfile.open(None, "w", file, format=tarfile.PAX_FORMAT) as archive,
        ):
            for name, path in members.items():
                member = tarfile.TarInfo(name)  # dates and owners stay at zero
                member.size = path.stat().st_size
                with path.open("rb") as stream:
                    archive.addfile(member, stream)
    except OSError as error:
        raise UserError(f"Cannot pack {folder} (data.source): {error}") from error


def names_below(folder: Path) -> list[str]:
    """The names of all files below a folder, as ``pack`` would write them."""
    return [name for name, _ in walk(folder, lambda name: True)]


def walk(folder: Path, wanted: Wanted) -> Iterator[tuple[str, Path]]:
    """Names and paths of the wanted files; see ``files_below`` for links."""
    for path in files_below(folder):
        name = member_path(path.relative_to(folder).as_posix())
        if wanted(name):
            yield name, path


def _check_readable(members: Mapping[str, Path]) -> None:
    """Raises one UserError for all files that cannot be packed: pipes, broken links, names not in UTF-8."""
    bad = [repr(name) for name, path in members.items() if not (is_text(name) and path.is_file())]
    if bad:
        raise UserError(
            "data.source: these are no plain files (broken links, maybe), or their names are no text in "
            f"UTF-8: {some(bad, len(bad))}. Mend, rename or remove them"
        )
