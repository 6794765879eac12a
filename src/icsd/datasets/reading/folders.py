"""Finds a dataset's folders and files, whose names differ between copies in prefix, suffix and case."""

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from icsd.datasets.reading.lists import is_comment, names_in, without_number
from icsd.errors import UserError

_NUM_NAMED = 5
_DEEPEST = 32  # nested folders; an archive may include a long path of the machine it was packed on


def find_folder(root: Path, *relatives: str, depth: int = _DEEPEST) -> Path:
    """The folder ``.../relative`` closest to ``root``; the first of ``relatives`` that exists wins.

    Published archives differ in their prefix folders, and copies in the case of names, so users need not say
    which one they have.

    Raises:
        UserError: there is no such folder, or several are equally close.
    """
    for relative in relatives:
        level = [root]
        for _ in range(depth):
            matches = [match for folder in level for match in _below(folder, relative.split("/"))]
            if len(matches) > 1:
                named = " and ".join(match.relative_to(root).as_posix() for match in matches)
                raise UserError(f"There are several folders {relative}: {named}. Keep the one that is meant.")
            if matches:
                return matches[0]
            level = sorted(child for folder in level for child in folder.iterdir() if child.is_dir())
            if not level:
                break
    raise UserError(
        f"No folder {' or '.join(relatives)} in what was unpacked ({_summary(root)}): this is not the "
        "dataset, or only a part of it. Give the complete archives (or the folder with all of them) in "
        "data.source."
    )


def _below(folder: Path, parts: Sequence[str]) -> list[Path]:
    """Folders at the path ``parts``: those with exactly these names, else those that differ in case."""
    if not parts:
        return [folder]
    if (folder / parts[0]).is_dir():
        return _below(folder / parts[0], parts[1:])
    return [
        match
        for child in sorted(folder.iterdir())
        if child.name.casefold() == parts[0].casefold() and child.is_dir()
        for match in _below(child, parts[1:])
    ]


def _summary(root: Path) -> str:
    """Describes what is there: the folders with the most files."""
    counts = {
        folder.relative_to(root): num_files
        for folder in root.rglob("*")
        if folder.is_dir() and (num_files := sum(path.is_file() for path in folder.iterdir()))
    }
    most = sorted(counts, key=lambda folder: (-counts[folder], folder))[:_NUM_NAMED]
    named = ", ".join(f"{folder.as_posix()} ({counts[folder]} files)" for folder in most)
    more = f" and {len(counts) - len(most)} more folders" if len(counts) > len(most) else ""
    return f"{named}{more}" if named else "nothing"


def folder_in(parent: Path, name: str) -> Path:
    """The folder of a name, whatever its case; where there is none, or there are several, that very name."""
    found = _below(parent, [name])
    return found[0] if len(found) == 1 else parent / name


class Files:
    """The files of a folder that have one of the given suffixes, by name.

    Args:
        folder: the folder.
        suffixes: accepted suffixes, lower case; the path of a missing file has the first.
    """

    def __init__(self, folder: Path, suffixes: Sequence[str]) -> None:
        self.folder = folder
        self._suffixes = tuple(suffixes)
        self._by_stem: dict[str, list[Path]] = {}
        self._by_folded: dict[str, list[Path]] = {}
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.suffix.lower() in self._suffixes:
                self._by_stem.setdefault(_composed(path.stem), []).append(path)
                self._by_folded.setdefault(_composed(path.stem).casefold(), []).append(path)

    def all(self) -> list[Path]:
        """Every file; UserError if two differ only in their suffix."""
        return [self._only(paths) for paths in self._by_stem.values()]

    def listed(self, lines: Iterable[str]) -> list[Path]:
        """The file for every line of a list, or the path where it should be; comments are left out."""
        found = [(line, self._listed(line)) for line in lines]
        return [path for line, path in found if path.exists() or not is_comment(line)]

    def named(self, name: str) -> Path | None:
        """The file of this name, given with or without its suffix; None if there is none."""
        name = _composed(name)
        stem = self._stem(name)
        paths = self._by_stem.get(stem) or self._by_folded.get(stem.casefold())
        if not paths:
            return None
        exact = [path for path in paths if _composed(path.name) == name]
        return exact[0] if exact else self._only(paths)

    def path(self, name: str) -> Path:
        """The file of this name, or the path where it should be if it is missing."""
        return self.named(name) or self.folder / f"{self._stem(name)}{self._suffixes[0]}"

    def _listed(self, line: str) -> Path:
        names = list(names_in(line))
        with_suffix = [name for name in names if self._stem(name) != name]
        numbered = [name for name in names_in(without_number(line)) if self._stem(name) != name]
        for name in with_suffix + names + numbered:
            if path := self.named(name):
                return path
        return self.path(with_suffix[-1] if with_suffix else names[0])

    def _stem(self, name: str) -> str:
        path = Path(name)
        return path.stem if path.suffix.lower() in self._suffixes else name

    def _only(self, paths: Sequence[Path]) -> Path:
        if len(paths) > 1:
            doubles = [files for files in self._by_folded.values() if len(files) > 1]
            named = ", ".join(" = ".join(path.name for path in files) for files in doubles[:_NUM_NAMED])
            raise UserError(
                f"{self.folder.name}/ holds several files of one name ({len(doubles)} times: {named}): "
                "keep those that are meant"
            )
        return paths[0]


def _composed(name: str) -> str:
    """NFC form of a name: systems write an accented letter as one character or as two."""
    return unicodedata.normalize("NFC", name)
