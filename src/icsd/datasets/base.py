"""What a dataset is: names, colours, and how its published files become images and train ids."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from icsd.core.labels import Pixels
from icsd.errors import UserError

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Sample:
    """One image with its label, both still files."""

    id: str
    image: Path
    label: Path


@dataclass(frozen=True)
class Archive:
    """One of the files a dataset is published in, known by its name (shell patterns, case ignored)."""

    patterns: tuple[str, ...]
    needed: bool = True


class Dataset(Protocol):
    """A dataset that exists as published files. One module per dataset holds the only implementation."""

    name: str
    classes: tuple[str, ...]
    palette: tuple[Colour, ...]
    split_sizes: Mapping[str, int]
    """Published number of images of every split."""
    labels_sha256: Mapping[str, str]
    """Known digest per split: SHA-256 over the train-id labels in the order of their sorted ids."""
    licence: str
    homepage: str
    archives: tuple[Archive, ...]
    folders: tuple[str, ...]
    """Names (patterns, case ignored) under which people keep the unpacked dataset."""
    how_to_get: str
    """What a user has to do when no address can be downloaded from."""

    def wanted(self, member: str) -> bool:
        """Whether this archive member (path with ``/``) is worth unpacking."""
        ...

    def samples(self, root: Path, split: str) -> list[Sample]:
        """The split's samples, sorted by id, wherever below ``root`` the dataset's folders lie."""
        ...

    def read(self, sample: Sample) -> tuple[Pixels, Pixels]:
        """Image [H, W, 3] and its label [H, W] in train ids, both uint8."""
        ...


def find_folder(root: Path, *relatives: str, depth: int = 5) -> Path:
    """The folder ``.../relative`` closest to ``root``; the first of ``relatives`` that exists wins.

    Published archives differ in their prefix folders, so nobody has to say which one they have.
    """
    for relative in relatives:
        level = [root]
        for _ in range(depth):
            for folder in level:
                if (folder / relative).is_dir():
                    return folder / relative
            level = sorted(child for folder in level for child in folder.iterdir() if child.is_dir())
    raise UserError(
        f"No folder {' or '.join(relatives)} in what was unpacked: this is not the dataset, or only a part "
        "of it. Give the complete archives (or the folder with all of them) in data.source."
    )


def read_list(path: Path) -> list[str]:
    """The first word of every line that has one."""
    try:
        return [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise UserError(f"The dataset's list {path.name} is missing: {error.strerror}") from error


def check_split(dataset_name: str, split: str, splits: Iterable[str]) -> None:
    """Raises UserError unless the dataset has this split."""
    if split not in splits:
        raise UserError(f"{dataset_name} has no split {split!r}; it has {', '.join(splits)}")
