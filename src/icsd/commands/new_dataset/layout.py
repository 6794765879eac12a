"""Finds out which pictures of a folder are images, and which are their masks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from icsd.commands.new_dataset.groups import Group, Key, grouped, pictures_below
from icsd.commands.new_dataset.questions import Questions
from icsd.errors import UserError, some

_RANKS = {"mask": 2, None: 1, "other": 0}
_ENOUGH = 0.5
"""Smallest share of the smaller group that must have a partner of the same name."""
_LAYOUTS = (
    "known layouts are {split}/images + {split}/masks, images/{split} + masks/{split}, images + masks, "
    "JPEGImages + SegmentationClass, and masks beside their images as a_mask.png"
)


@dataclass(frozen=True)
class Layout:
    """Images and their masks.

    Attributes:
        images: The group of the images.
        masks: The group of the masks.
        notes: Other observations.
    """

    images: Group
    masks: Group
    notes: tuple[str, ...] = ()

    @property
    def pairs(self) -> list[Key]:
        """Keys of images that have a mask."""
        return [key for key in self.images.files if key in self.masks.files]

    @property
    def unmasked(self) -> list[Key]:
        """Keys of images without a mask."""
        return [key for key in self.images.files if key not in self.masks.files]

    @property
    def orphans(self) -> list[Key]:
        """Keys of masks without an image."""
        return [key for key in self.masks.files if key not in self.images.files]


def layout_of(root: Path, questions: Questions, *, looks_like_mask: Callable[[Path], bool]) -> Layout:
    """The images and masks below a folder, which is only read.

    Args:
        root: The folder.
        questions: Asked if several groups may be the masks.
        looks_like_mask: Whether a picture has few values; used if names do not tell.

    Raises:
        UserError: There is no folder, no picture, or no matching pair; the message says what was found.
    """
    if not root.is_dir():
        raise UserError(f"{root}: there is no such folder; name the folder that contains images and masks")
    pictures = pictures_below(root)
    if not pictures:
        raise UserError(f"{root}: contains no images (png, jpg, bmp, tif, webp); {_instead(root)}")
    groups: list[Group] = []
    for by_affix in (False, True):
        groups = grouped(pictures, by_affix=by_affix)
        pairs = [(i, m) for i, m in permutations(groups, 2) if _may_pair(i, m, looks_like_mask)]
        if pairs:
            return _chosen(pairs, groups, questions)
    raise UserError(_unpaired(root, groups))


def _may_pair(images: Group, masks: Group, looks_like_mask: Callable[[Path], bool]) -> bool:
    common = len(images.files.keys() & masks.files.keys())
    if images.kind in {"mask", "other"} or masks.kind == "image" or not common:
        return False
    if common < _ENOUGH * min(len(images.files), len(masks.files)):
        return False
    if masks.kind == "mask":
        return True
    some_files = list(masks.files.values())[:3]
    other_files = list(images.files.values())[:3]
    return all(looks_like_mask(found.path) for found in some_files) and (
        images.kind == "image" or not all(looks_like_mask(found.path) for found in other_files)
    )


def _chosen(pairs: Sequence[tuple[Group, Group]], groups: Sequence[Group], questions: Questions) -> Layout:
    most = max(len(_common(pair)) for pair in pairs)
    fitting = [pair for pair in pairs if len(_common(pair)) >= _ENOUGH * most]
    best = max(_rank(pair) for pair in fitting)
    equals = [pair for pair in fitting if _rank(pair) == best]
    images, masks = equals[0]
    if len(equals) > 1:
        names = [f"{one.template} with masks {other.template}" for one, other in equals]
        chosen = questions.choose("several groups of files may be images and masks", names)
        images, masks = equals[names.index(chosen)]
    notes = [f"left alone: {group}" for group in groups if group is not images and group is not masks]
    return Layout(images, masks, tuple(notes[:5]))


def _rank(pair: tuple[Group, Group]) -> tuple[int, int]:
    images, masks = pair
    train_ids = "trainids" in masks.template.casefold()  # label ids have more classes
    return _RANKS[masks.kind] + (images.kind == "image"), -int(train_ids)


def _common(pair: tuple[Group, Group]) -> set[Key]:
    return pair[0].files.keys() & pair[1].files.keys()


def _unpaired(root: Path, groups: Sequence[Group]) -> str:
    listed = some((str(group) for group in groups), len(groups), most=6)
    return (
        f"{root}: no images and masks of the same names; found {listed}. A mask needs its image's name, with "
        f"a suffix or in another folder; {_LAYOUTS}. Rename them so"
    )


def _instead(root: Path) -> str:
    counts: dict[str, int] = {}
    for path in root.rglob("*"):
        if path.is_file():
            counts[path.suffix.lower() or path.name] = counts.get(path.suffix.lower() or path.name, 0) + 1
    if not counts:
        return "it is empty"
    listed = sorted(counts, key=lambda name: -counts[name])
    named = some((f"{counts[name]:,} × {name}" for name in listed), len(listed))
    return f"found {named}; save images and masks as image files, masks as PNG"
