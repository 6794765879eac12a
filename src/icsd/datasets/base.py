"""The interface of a dataset: names, colours, and how published files become images and train ids."""

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
    """One image file with its label file; without a label, ``label`` is the image's path, too."""

    id: str
    image: Path
    label: Path


@dataclass(frozen=True)
class Kind:
    """One kind of file that a dataset consists of.

    Attributes:
        shown: its name in messages, e.g. ``train/*.png``.
        pattern: regular expression to search in the path (with ``/``) of an archive's member.
        needed: whether the dataset is unusable without any file of this kind.
    """

    shown: str
    pattern: re.Pattern[str]
    needed: bool = True


@dataclass(frozen=True)
class Numbering:
    """What the numbers in a dataset's published masks mean.

    Attributes:
        train_ids: uint8 [256], number -> train id; numbers without a meaning are kept or ignored.
        known: every number that a published mask may hold.
        shares: share of all pixels by class, then of ignored pixels; measured or published, a rough guide.
            Empty if unknown: then only missing classes are noticed.
        others: description -> table like ``train_ids``, for other numberings that are in use.
    """

    train_ids: Pixels
    known: frozenset[int]
    shares: tuple[float, ...] = ()
    others: Mapping[str, Pixels] = field(default_factory=dict)


def numbers_to_ids(ids: Mapping[int, int], *, other: int = IGNORE) -> Pixels:
    """A table, uint8 [256], from number to train id; numbers that ``ids`` lacks become ``other``."""
    table = np.full(256, other, dtype=np.uint8)
    for number, id_ in ids.items():
        table[number] = id_
    return table


@dataclass(frozen=True)
class Archive:
    """One of the archives in which a dataset is published.

    Attributes:
        patterns: its possible names (shell patterns, case ignored).
        holds: the kind of file that tells it from other packages with similar names.
        published: its name as published, without suffix; preferred to any other.
        needed: whether the dataset is unusable without it.
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
    """The kinds of files that it consists of; all others are ignored."""
    archives: tuple[Archive, ...]
    folders: tuple[str, ...]
    """Usual names of folders with the unpacked dataset (shell patterns, case ignored)."""
    how_to_get: str
    """Instructions for a user if there is no address to download from."""

    def wanted(self, member: str) -> bool:
        """Whether this archive member (path with ``/``) is of one of the dataset's kinds."""
        ...

    def samples(self, root: Path, split: str) -> list[Sample]:
        """The split's samples, sorted by id; the dataset's folders may be at any depth below ``root``."""
        ...

    def read_numbers(self, sample: Sample) -> Pixels:
        """The label's numbers as published, uint8 [H, W]; ``numbering`` says what they mean."""
        ...


NAME = r"[^/.][^/]*"
"""Regular expression for a file's name; hidden files (of macOS and others) begin with a dot."""


def member(path: str, suffixes: Sequence[str] = ()) -> re.Pattern[str]:
    """Pattern for a member of an archive whose path ends like ``path``; folders above and case are ignored.

    Args:
        path: regular expression.
        suffixes: allowed suffixes; empty if ``path`` has them already.
    """
    end = f"({'|'.join(re.escape(suffix) for suffix in suffixes)})" if suffixes else ""
    return re.compile(rf"(^|/){path}{end}\Z", re.IGNORECASE)


def check_split(dataset_name: str, split: str, splits: Iterable[str]) -> None:
    """Raises UserError unless the dataset has this split."""
    if split not in splits:
        raise UserError(f"{dataset_name} has no split {split!r}; it has {', '.join(splits)}")


def voc_palette(num_colours: int) -> tuple[Colour, ...]:
    """VOC's colours: the bits of the class number go to red, green and blue in turn, lowest bit first.

    The first three bits become the highest bits of the channels, the next three the second highest.
    """
    colours = []
    for number in range(num_colours):
        channels = [0, 0, 0]
        for level in range(3):
            for channel in range(3):
                channels[channel] |= (number >> (3 * level + channel) & 1) << (7 - level)
        colours.append((channels[0], channels[1], channels[2]))
    return tuple(colours)
