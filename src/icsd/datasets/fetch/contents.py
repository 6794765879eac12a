"""Checks that the fetched files are a complete dataset, and describes what is there if they are not."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from icsd.datasets import Dataset
from icsd.datasets.archives import is_archive_name
from icsd.datasets.file_kinds import IMAGE_SUFFIXES, MASK_SUFFIXES
from icsd.datasets.findings import Finding, counted
from icsd.errors import UserError

_NUM_SHOWN = 4
_NOT_READ = (
    *(".gif", ".avif", ".heic", ".heif", ".jp2", ".j2k", ".jxl", ".jpe", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".tga", ".psd", ".exr", ".hdr", ".dds", ".dng", ".cr2", ".nef", ".arw", ".dcm", ".npy", ".npz"),
    *(".mat", ".svg"),
)
"""Suffixes of what people have in place of a picture that can be read."""
_READ = (
    f"images are read from files {', '.join(IMAGE_SUFFIXES)}, masks from {', '.join(MASK_SUFFIXES)}; "
    "save them as PNG"
)


def check_contents(dataset: Dataset, names: Mapping[str, Iterable[str]]) -> None:
    """Raises UserError if a needed kind of file is missing.

    Args:
        dataset: the dataset.
        names: archive or folder that was fetched -> the names of all its files.
    """
    members = [name for of_archive in names.values() for name in of_archive]
    missing = [
        kind.shown
        for kind in dataset.kinds
        if kind.needed and not any(kind.pattern.search(member) for member in members)
    ]
    if missing:
        raise UserError(
            f"{dataset.name}: there is no file like {' and none like '.join(missing)} in {', '.join(names)}. "
            f"{_instead(dataset, members)}{_packed(members)}{_formats(dataset, members)} {dataset.how_to_get}"
        )


def left_out(dataset: Dataset, names: Mapping[str, Iterable[str]]) -> list[Finding]:
    """What to warn of: pictures in the dataset's folders that are of no format that is read.

    Args:
        dataset: the dataset.
        names: see ``check_contents``.
    """
    unread = _unread(dataset, [name for of_archive in names.values() for name in of_archive])
    return [counted(f"{{}} pictures are left out: {_READ}", unread)] if unread else []


def _formats(dataset: Dataset, members: Iterable[str]) -> str:
    return f" {_READ[0].upper()}{_READ[1:]}." if _unread(dataset, members) else ""


def _unread(dataset: Dataset, members: Iterable[str]) -> list[str]:
    """Files that would belong to the dataset with another suffix, where no file of their name does."""
    read, others = set[str](), dict[str, str]()
    for member in members:
        suffix = PurePosixPath(member).suffix
        stem = member.removesuffix(suffix)
        if dataset.wanted(member):
            read.add(stem.casefold())
        elif suffix.lower() in {*_NOT_READ, *IMAGE_SUFFIXES}:
            others[member] = stem
    return sorted(
        member
        for member, stem in others.items()
        if stem.casefold() not in read and any(dataset.wanted(stem + suffix) for suffix in IMAGE_SUFFIXES)
    )


def _packed(members: Iterable[str]) -> str:
    """Advice for an archive inside the archive or folder, which may hold the dataset."""
    inner = sorted(member for member in members if is_archive_name(member))
    return f" Unpack {inner[0]}, and give what comes out." if inner else ""


def _instead(dataset: Dataset, members: Iterable[str]) -> str:
    """Describes the other files: similar ones are counted together, the most frequent first."""
    examples: dict[tuple[str, str], str] = {}
    counts: dict[tuple[str, str], int] = {}
    for member in sorted(members):
        if not dataset.wanted(member):
            alike = _alike(member)
            examples.setdefault(alike, member)
            counts[alike] = counts.get(alike, 0) + 1
    if not counts:
        return "There is no other file, either."
    most = sorted(counts, key=lambda alike: (-counts[alike], alike))
    shown = [
        examples[alike] if counts[alike] == 1 else f"{counts[alike]:,} like {examples[alike]}"
        for alike in most[:_NUM_SHOWN]
    ]
    more = f", and {len(most) - _NUM_SHOWN} other kinds" if len(most) > _NUM_SHOWN else ""
    return f"What was not asked for: {'; '.join(shown)}{more}."


def _alike(member: str) -> tuple[str, str]:
    """Key of similar files: the two topmost folders, and the name after its last digit."""
    *folders, name = member.split("/")
    return "/".join(folders[:2]), re.split(r"\d", name)[-1]
