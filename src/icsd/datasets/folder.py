"""A user's own folder of images and masks, described only by the block ``data.folder`` of a preset."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from icsd.core.labels import IGNORE, Pixels
from icsd.core.seeds import seed_at
from icsd.datasets.base import (
    Archive,
    Colour,
    Kind,
    Numbering,
    Sample,
    check_split,
    numbers_to_ids,
    voc_palette,
)
from icsd.datasets.file_kinds import IMAGE_SUFFIXES, MASK_SUFFIXES
from icsd.datasets.reading.images import read_image
from icsd.datasets.reading.lists import is_comment, names_in, read_list, without_number
from icsd.datasets.reading.masks import read_ids, read_numbers_by_colour
from icsd.errors import UserError

NAME = "folder"
_PLACES = re.compile(r"(\{split\}|\{stem\}|\*)")
_SUFFIX = re.compile(r"\.[^./]+\Z")

Value = int | Colour
"""The value of a mask's pixel: a number, or a colour."""


class Folder:
    """A dataset that a preset describes; docs/datasets.md has the meaning of every key.

    Args:
        images: template of the images' paths; ``{split}``, ``{stem}`` and ``*`` stand for parts of names.
        masks: template of the masks' paths.
        lists: template of the lists' paths; None without lists.
        fractions: split -> share of the images; None if folders or lists define the splits.
        seed: seed of the draw into fractions.
        meaning: class -> its numbers or colours in a mask, in the order of train ids.
        ignored: numbers or colours of ignored pixels.
        unlabelled: whether images without a mask are allowed.
        splits: names of the splits that are used.
    """

    name = NAME
    licence = ""
    homepage = ""
    archives: tuple[Archive, ...] = ()
    folders: tuple[str, ...] = ()
    how_to_get = (
        "Give the folder, or an archive of it, in data.source, and compare its paths with the templates "
        "data.folder.images and data.folder.masks of the preset."
    )

    def __init__(
        self,
        *,
        images: str,
        masks: str,
        meaning: Mapping[str, tuple[Value, ...]],
        splits: tuple[str, ...],
        lists: str | None = None,
        fractions: Mapping[str, float] | None = None,
        seed: int = 0,
        ignored: tuple[Value, ...] = (),
        unlabelled: bool = False,
    ) -> None:
        self.classes = tuple(meaning)
        self.split_sizes: Mapping[str, int] = {}
        self.labels_sha256: Mapping[str, str] = {}
        self._images, self._masks, self._lists = images, masks, lists
        self._fractions, self._seed = fractions, seed
        self._splits, self._unlabelled = splits, unlabelled
        self._colours = _ids_of_colours(meaning, ignored)
        self.palette = tuple(self._colours)[: len(meaning)] if self._colours else voc_palette(len(meaning))
        ids = _ids_of_numbers(meaning) if not self._colours else {id_: id_ for id_ in range(len(meaning))}
        self._no_mask = max(set(range(IGNORE + 1)) - set(ids))  # a number that no class has
        others = {IGNORE} if self._colours else {value for value in ignored if isinstance(value, int)}
        self.numbering = Numbering(train_ids=numbers_to_ids(ids), known=frozenset({*ids, *others}))
        kinds = [Kind(images, self._pattern(images, IMAGE_SUFFIXES))]
        kinds += [Kind(masks, self._pattern(masks, MASK_SUFFIXES), needed=not unlabelled)]
        kinds += [Kind(lists, self._pattern(lists, [".txt"]))] if lists else []
        self.kinds = tuple(kinds)

    def wanted(self, member: str) -> bool:
        """Whether a path matches one of the templates."""
        return any(kind.pattern.search(_composed(member)) for kind in self.kinds)

    def samples(self, root: Path, split: str) -> list[Sample]:
        """The split's images, chosen by folder, list or random draw, each with its mask."""
        check_split(self.name, split, self._splits)
        files = {
            _composed(path.relative_to(root).as_posix()): path for path in root.rglob("*") if path.is_file()
        }
        images = self._found(files, self._pattern(self._images, IMAGE_SUFFIXES, split))
        masks = self._found(files, self._pattern(self._masks, MASK_SUFFIXES, split))
        images = _without_masks(images, masks)
        if self._lists:
            chosen = self._listed(files, images, split)
        else:
            chosen = {stem: path for stem, path in images.items() if self._is_in(stem, split)}
        samples = [Sample(stem, path, self._mask(masks, stem, path, split)) for stem, path in chosen.items()]
        return sorted(samples, key=lambda sample: sample.id)

    def read_numbers(self, sample: Sample) -> Pixels:
        """The mask's numbers, uint8 [H, W]: train ids for colours, a reserved number without a mask."""
        if sample.label == sample.image:
            return np.full(read_image(sample.image).shape[:2], self._no_mask, dtype=np.uint8)
        if self._colours:
            return read_numbers_by_colour(sample.label, self._colours)
        numbers = read_ids(sample.label)
        known = self.numbering.known
        if 1 not in known and IGNORE in known and numbers.max() == 1:  # black and white, stored as 1 bit
            numbers = numbers * np.uint8(IGNORE)
        return numbers

    def _pattern(self, template: str, suffixes: Sequence[str], split: str | None = None) -> re.Pattern[str]:
        """Regular expression for the paths of a template; the folders above and case are ignored.

        If the template has no suffix, one of ``suffixes`` must follow.
        """
        names = [split] if split else self._splits
        if "{stem}" not in template and "*" in template:
            before, _, after = template.rpartition("*")
            template = f"{before}{{stem}}{after}"
        parts = {
            "{split}": f"(?:{'|'.join(re.escape(name) for name in names)})",
            "{stem}": r"(?P<stem>[^/.][^/]*?)",
            "*": "[^/]*",
        }
        text = "".join(parts.get(part) or re.escape(part) for part in _PLACES.split(template))
        any_suffix = f"(?:{'|'.join(re.escape(suffix) for suffix in suffixes)})"
        end = "" if _SUFFIX.search(template) else any_suffix
        return re.compile(rf"(?:^|/){text}{end}\Z", re.IGNORECASE)

    def _found(self, files: Mapping[str, Path], pattern: re.Pattern[str]) -> dict[str, Path]:
        found: dict[str, Path] = {}
        places: dict[str, str] = {}
        for name, path in sorted(files.items()):
            if match := pattern.search(name):
                stem = match["stem"]
                if stem in found:
                    raise UserError(
                        f"two files are called {stem}: {places[stem]} and {name}; each image needs a name of "
                        "its own: rename one, remove what is not meant, or make the template more exact"
                    )
                found[stem], places[stem] = path, name
        return found

    def _mask(self, masks: Mapping[str, Path], stem: str, image: Path, split: str) -> Path:
        folded = {name.casefold(): path for name, path in masks.items()} if stem not in masks else {}
        mask = masks.get(stem) or folded.get(stem.casefold())
        if mask:
            return mask
        missing = self._masks.replace("{split}", split).replace("{stem}", stem)
        return image if self._unlabelled else Path(missing)

    def _listed(self, files: Mapping[str, Path], images: Mapping[str, Path], split: str) -> dict[str, Path]:
        assert self._lists is not None
        pattern = self._pattern(self._lists.replace("{split}", split), [".txt"], split)
        lists = [path for name, path in files.items() if pattern.search(name)]
        if len(lists) != 1:
            raise UserError(f"there are {len(lists)} files like {self._lists} for {split}, not one")
        stems = {_composed(key): stem for stem, path in images.items() for key in (stem, path.name)}
        folded = {key.casefold(): stem for key, stem in stems.items()}
        chosen: dict[str, Path] = {}
        for line in read_list(lists[0]):
            names = [_composed(name) for name in _names(line)]
            found = (stems.get(name) or folded.get(name.casefold()) for name in names)
            stem = next((stem for stem in found if stem), None)
            if stem:
                chosen[stem] = images[stem]
            elif not is_comment(line):
                chosen[names[0]] = Path(self._images).with_name(names[0])
        return chosen

    def _is_in(self, stem: str, split: str) -> bool:
        return self._fractions is None or split_of(stem, self._fractions, seed=self._seed) == split


def split_of(stem: str, fractions: Mapping[str, float], *, seed: int) -> str | None:
    """The split that an image is drawn into; depends on seed and name only. None if in none of them."""
    luck, begin = seed_at(seed, "split", stem) / 2**63, 0.0
    for name, share in fractions.items():
        if begin <= luck < begin + share:
            return name
        begin += share
    return None


def _names(line: str) -> Iterator[str]:
    """The names that a line of a list may stand for, with and without suffix."""
    for name in (*names_in(line), *names_in(without_number(line))):
        yield name
        yield _SUFFIX.sub("", name)


def _without_masks(images: Mapping[str, Path], masks: Mapping[str, Path]) -> dict[str, Path]:
    """The images without files that are masks of other images, such as ``a_mask.png`` of ``a.png``."""
    owners = {path: stem for stem, path in masks.items()}
    return {stem: path for stem, path in images.items() if owners.get(path, stem) == stem}


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _ids_of_numbers(meaning: Mapping[str, tuple[Value, ...]]) -> dict[int, int]:
    classes = enumerate(meaning.values())
    return {value: id_ for id_, values in classes for value in values if isinstance(value, int)}


def _ids_of_colours(
    meaning: Mapping[str, tuple[Value, ...]], ignored: tuple[Value, ...]
) -> dict[Colour, int]:
    """Colour -> train id, starting with each class's first colour; empty if masks hold numbers."""
    classes = enumerate(meaning.values())
    pairs = [(rank, id_, value) for id_, values in classes for rank, value in enumerate(values)]
    pairs.sort(key=lambda pair: pair[:2])
    ids = {value: id_ for _, id_, value in pairs if not isinstance(value, int)}
    return ids | {value: IGNORE for value in ignored if ids and not isinstance(value, int)}
