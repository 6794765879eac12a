"""What a dataset is: names, colours, and how its published files become images and train ids."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from icsd.core.labels import IGNORE, Pixels
from icsd.errors import UserError

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Sample:
    """One image with its label, both still files; an image without a label is in its place, too."""

    id: str
    image: Path
    label: Path


@dataclass(frozen=True)
class Kind:
    """One kind of the files that a dataset consists of.

    Attributes:
        shown: how to call it in a message, e.g. ``train/*.png``.
        pattern: finds it in a member of an archive (a path with ``/``).
        needed: whether the dataset is of no use without any file of this kind.
    """

    shown: str
    pattern: re.Pattern[str]
    needed: bool = True


@dataclass(frozen=True)
class Numbering:
    """What the numbers in a dataset's published masks mean.

    Attributes:
        train_ids: uint8 [256], number -> train id; numbers that mean nothing stay as they are or are ignored.
        known: every number that a published mask may hold.
        shares: of all pixels, by class and last what is ignored; measured or published, a rough guide. Empty
            where they are not known: then only classes that are missing are noticed.
        others: other numberings that are in use, as tables like ``train_ids``, by what to call them.
    """

    train_ids: Pixels
    known: frozenset[int]
    shares: tuple[float, ...] = ()
    others: Mapping[str, Pixels] = field(default_factory=dict)


def numbers_to_ids(ids: Mapping[int, int], *, other: int = IGNORE) -> Pixels:
    """A table, uint8 [256], of number -> train id; all numbers that ``ids`` lacks become ``other``."""
    table = np.full(256, other, dtype=np.uint8)
    for number, id_ in ids.items():
        table[number] = id_
    return table


@dataclass(frozen=True)
class Archive:
    """One of the files that a dataset is published in.

    Attributes:
        patterns: its possible names (shell patterns, case ignored).
        holds: what tells it from other packages with similar names.
        published: its name as published, without suffix; preferred to any other.
        needed: whether the dataset is of no use without it.
    """

    patterns: tuple[str, ...]
    holds: Kind
    published: str
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
    numbering: Numbering
    kinds: tuple[Kind, ...]
    """What it consists of; all other files are left alone."""
    archives: tuple[Archive, ...]
    folders: tuple[str, ...]
    """Names (patterns, case ignored) under which people keep the unpacked dataset."""
    how_to_get: str
    """What a user has to do when no address can be downloaded from."""

    def wanted(self, member: str) -> bool:
        """Whether this archive member (path with ``/``) is of one of the dataset's kinds."""
        ...

    def samples(self, root: Path, split: str) -> list[Sample]:
        """The split's samples, sorted by id, wherever below ``root`` the dataset's folders lie."""
        ...

    def read_numbers(self, sample: Sample) -> Pixels:
        """The label's numbers as published, uint8 [H, W]; ``numbering`` says what they mean."""
        ...


NAME = r"[^/.][^/]*"
"""Regular expression for a file's name; hidden files (of macOS and others) begin with a dot."""


def member(path: str, suffixes: Sequence[str] = ()) -> re.Pattern[str]:
    """Pattern for a member of an archive that ends like ``path``, whatever its folder and its case.

    Args:
        path: regular expression.
        suffixes: allowed suffixes; none: ``path`` holds them already.
    """
    end = f"({'|'.join(re.escape(suffix) for suffix in suffixes)})" if suffixes else ""
    return re.compile(rf"(^|/){path}{end}\Z", re.IGNORECASE)


def check_split(dataset_name: str, split: str, splits: Iterable[str]) -> None:
    """Raises UserError unless the dataset has this split."""
    if split not in splits:
        raise UserError(f"{dataset_name} has no split {split!r}; it has {', '.join(splits)}")


def voc_palette(num_colours: int) -> tuple[Colour, ...]:
    """VOC's colours: the bits of the class number dealt out to red, green, blue, highest bit first."""
    colours = []
    for number in range(num_colours):
        channels = [0, 0, 0]
        for level in range(3):
            for channel in range(3):
                channels[channel] |= (number >> (3 * level + channel) & 1) << (7 - level)
        colours.append((channels[0], channels[1], channels[2]))
    return tuple(colours)
