"""Groups a folder's pictures: files in folders of one kind that are named alike."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from icsd.commands.new_dataset.words import Affixes, apart, kind_of, split_in
from icsd.datasets.fetch.packing import walk
from icsd.datasets.file_kinds import IMAGE_SUFFIXES

_LOSSY = {".jpg", ".jpeg", ".webp"}

Key = tuple[str, str]
"""Split (lower case; "" without one) and an image's own name, in NFC and lower case."""


@dataclass(frozen=True)
class Found:
    """A picture's file and the parts of its path.

    Attributes:
        path: The file.
        folders: Its folders below the root, with ``{split}`` in place of a split's name.
        split: That split's name as it is spelled; "" without one.
        stem: The file's name without suffix.
    """

    path: Path
    folders: tuple[str, ...]
    split: str
    stem: str


@dataclass
class Group:
    """Pictures of one kind.

    Attributes:
        folders: Template of their folders.
        affixes: What surrounds the images' own names in the files' names.
        suffix: Their suffix, if it distinguishes them from others; "" for any.
        files: Key -> file.
    """

    folders: tuple[str, ...]
    affixes: Affixes = field(default_factory=Affixes)
    suffix: str = ""
    files: dict[Key, Found] = field(default_factory=dict)

    @property
    def kind(self) -> str | None:
        """Their kind by the nearest word in name and folders; see ``kind_of``."""
        named = (self.affixes.after, self.affixes.before, *reversed(self.folders))
        return next((kind for name in named if (kind := kind_of(name))), None)

    @property
    def template(self) -> str:
        """Their paths as a template of the reader."""
        name = f"{self.affixes.before}{{stem}}{self.affixes.after}{self.suffix}"
        return "/".join((*self.folders, name))

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits as they are spelled, in the order in which they were found."""
        return tuple(dict.fromkeys(found.split for found in self.files.values() if found.split))

    def __str__(self) -> str:
        return f"{self.template} ({len(self.files):,} files)"


def pictures_below(root: Path) -> list[Found]:
    """All pictures below a folder, except hidden files and folders."""
    found = []
    for name, path in sorted(walk(root, _is_picture)):
        folders, split = _with_split(PurePosixPath(name).parent.parts)
        found.append(Found(path, folders, split, PurePosixPath(name).stem))
    if len({picture.split.casefold() for picture in found}) == 1:  # one folder called train is no split
        return [Found(f.path, _without_split(f), "", f.stem) for f in found]
    return found


def grouped(pictures: Sequence[Found], *, by_affix: bool) -> list[Group]:
    """Group the pictures, the largest group first.

    Args:
        pictures: All pictures.
        by_affix: Whether ``a.png`` and ``a_mask.png`` are two kinds of pictures, not two images of one kind.
    """
    open_folders = _open_parts(pictures)
    groups: dict[object, Group] = {}
    place: object
    doubles: dict[object, dict[Key, list[Found]]] = defaultdict(lambda: defaultdict(list))
    for picture in pictures:
        own, affixes = apart(picture.stem) if by_affix else (picture.stem, Affixes())
        folders = open_folders[picture.folders]
        place = tuple(map(folded, (*folders, affixes.before, affixes.after)))
        groups.setdefault(place, Group(folders, affixes, picture.path.suffix if "." in affixes.after else ""))
        doubles[place][picture.split.casefold(), folded(own)].append(picture)
    for place, by_key in doubles.items():
        _fill(groups, place, by_key)
    return sorted((group for group in groups.values() if group.files), key=lambda group: -len(group.files))


def folded(name: str) -> str:
    """A name in lower case and with composed accents (NFC), for comparisons."""
    return unicodedata.normalize("NFC", name).casefold()


def _fill(groups: dict[object, Group], place: object, by_key: dict[Key, list[Found]]) -> None:
    """Put files into their group; into two groups if images and masks have the same names and folder."""
    group = groups[place]
    both = sum(
        len(found) == 2 and len({one.path.suffix.lower() in _LOSSY for one in found}) == 2
        for found in by_key.values()
    )
    if 2 * both < len(by_key):
        group.files = {key: found[0] for key, found in by_key.items()}
        return
    for lossy in (True, False):
        files = {
            key: one
            for key, found in by_key.items()
            for one in found
            if (one.path.suffix.lower() in _LOSSY) == lossy
        }
        ((suffix, _),) = Counter(one.path.suffix.lower() for one in files.values()).most_common(1)
        files = {key: one for key, one in files.items() if one.path.suffix.lower() == suffix}
        groups[place, lossy] = Group(group.folders, group.affixes, suffix, files)


def _is_picture(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _with_split(parts: Iterable[str]) -> tuple[tuple[str, ...], str]:
    folders, name = [], ""
    for part in parts:
        template, split = split_in(part)
        agrees = split is not None and (not name or split.casefold() == name.casefold())
        folders.append(template if agrees else part)
        name = split if agrees and split else name
    return tuple(folders), name


def _without_split(picture: Found) -> tuple[str, ...]:
    return tuple(part.replace("{split}", picture.split) for part in picture.folders)


def _open_parts(pictures: Sequence[Found]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Folders -> the same with ``*`` for parts without known words that differ within one kind of folder."""
    names: dict[object, set[str]] = defaultdict(set)
    all_folders = {picture.folders for picture in pictures}
    kinds = {
        folders: next((k for part in reversed(folders) if (k := kind_of(part))), None)
        for folders in all_folders
    }
    masked = "mask" in kinds.values()

    def around(folders: tuple[str, ...], place: int) -> object:
        return folders[:place], len(folders), kinds[folders]

    def is_told(part: str) -> bool:
        return "{split}" in part or kind_of(part) is not None

    for folders in all_folders:
        for place, part in enumerate(folders):
            if not is_told(part):
                names[around(folders, place)].add(part)
    return {
        folders: tuple(
            "*"
            if masked and kinds[folders] and len(names[around(folders, place)]) > 1 and not is_told(part)
            else part
            for place, part in enumerate(folders)
        )
        for folders in all_folders
    }
