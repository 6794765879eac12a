"""Checks that the fetched files are a complete dataset, and describes what is there if they are not."""

import re
from collections.abc import Iterable, Mapping

from icsd.datasets import Dataset
from icsd.datasets.archives import is_archive_name
from icsd.errors import UserError

_NUM_SHOWN = 4


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
            f"{_instead(dataset, members)}{_packed(members)} {dataset.how_to_get}"
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
