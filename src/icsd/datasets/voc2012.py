"""Pascal VOC 2012 segmentation, optionally with the extra masks of SBD (10,582 training images)."""

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

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
    voc_palette,
)
from icsd.datasets.file_kinds import IMAGE_SUFFIXES, MASK_SUFFIXES
from icsd.datasets.reading.folders import Files, find_folder, folder_in
from icsd.datasets.reading.lists import read_list
from icsd.datasets.reading.masks import read_ids
from icsd.datasets.reading.mat import read_matrix
from icsd.errors import UserError

_IMAGES = Kind("JPEGImages/*.jpg", member(f"JPEGImages/{NAME}", IMAGE_SUFFIXES))
_LABELS = Kind("SegmentationClass/*.png", member(f"SegmentationClass/{NAME}", MASK_SUFFIXES))
_LISTS = Kind("ImageSets/Segmentation/*.txt", member(rf"ImageSets/Segmentation/{NAME}\.txt"))
_AUG_LABELS = Kind(
    "SegmentationClassAug/*.png", member(f"SegmentationClassAug/{NAME}", MASK_SUFFIXES), needed=False
)
_SBD_LABELS = Kind("cls/*.mat", member(rf"cls/{NAME}\.mat"), needed=False)
_SBD_LISTS = Kind("{train,val}.txt", member(r"(train|val)\.txt"), needed=False)


def _read_sbd(path: Path) -> Pixels:
    """SBD's mask, uint8 [H, W]: same class numbers as VOC, but object borders are not marked 255."""
    try:
        numbers = read_matrix(path.read_bytes(), "GTcls", "Segmentation")
        if numbers.ndim != 2 or not numbers.size or not np.isin(numbers, range(256)).all():
            raise ValueError("Segmentation is no matrix of class numbers")
    except FileNotFoundError as error:
        raise UserError(f"cannot read label {path.name}: {path.parent.name}/ holds no such file") from error
    except (OSError, ValueError, zlib.error) as error:
        raise UserError(f"cannot read label {path.name}: {error}") from error
    return np.ascontiguousarray(numbers, dtype=np.uint8)


_NUM_CLASSES = 21
_NUMBERING = Numbering(
    train_ids=numbers_to_ids({number: number for number in range(_NUM_CLASSES)}),
    known=frozenset({*range(_NUM_CLASSES), IGNORE}),
    # Background is 7 of 10 pixels, borders are 1 of 20; of the objects, only people exceed 3 %.
    shares=(0.69, *(0.045 if number == 15 else 0.011 for number in range(1, _NUM_CLASSES)), 0.05),
    others={
        "objects counted from 0, with 255 for background and borders": numbers_to_ids(
            {number - 1: number for number in range(1, _NUM_CLASSES)}, other=0
        ),
        "classes counted from 1, with 0 for borders": numbers_to_ids(
            {number + 1: number for number in range(_NUM_CLASSES)}
        ),
    },
)


def _sbd_labels(root: Path, images: Files) -> dict[Path, Path]:
    """Image -> mask of SBD, as its authors publish them, or as pictures, as others pass them on."""
    pictures = folder_in(images.folder.parent, "SegmentationClassAug")
    if pictures.is_dir():
        masks = Files(pictures, MASK_SUFFIXES)
        return {image: path for path in masks.all() if (image := images.named(path.stem))}
    try:
        folder = find_folder(root, "cls")
    except UserError as error:
        raise UserError(
            f"train_aug needs the masks of SBD: benchmark.tgz, with cls/*.mat, or SegmentationClassAug/*.png "
            f"beside JPEGImages. {error}"
        ) from error
    sbd, lists = Files(folder, [".mat"]), Files(folder.parent, [".txt"])
    names = read_list(lists.path("train")) + read_list(lists.path("val"))
    return {path: sbd.path(path.stem) for path in images.listed(names)}


class Voc2012:
    """20 kinds of objects and background (Everingham et al. 2012); SBD: Hariharan et al. 2011."""

    name = "voc2012"
    classes: tuple[str, ...] = (
        "background",
        "aeroplane",
        "bicycle",
        "bird",
        "boat",
        "bottle",
        "bus",
        "car",
        "cat",
        "chair",
        "cow",
        "dining table",
        "dog",
        "horse",
        "motorbike",
        "person",
        "potted plant",
        "sheep",
        "sofa",
        "train",
        "tv monitor",
    )
    palette: tuple[Colour, ...] = voc_palette(21)
    split_sizes: Mapping[str, int] = {"train": 1464, "train_aug": 10582, "val": 1449}
    labels_sha256: Mapping[str, str] = {}
    licence = "Flickr terms of use (images); see the homepage"
    homepage = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"
    numbering = _NUMBERING
    kinds: tuple[Kind, ...] = (_IMAGES, _LABELS, _LISTS, _AUG_LABELS, _SBD_LABELS, _SBD_LISTS)
    archives: tuple[Archive, ...] = (
        Archive(("voctrainval*2012*", "voc2012*"), holds=_LABELS, published="VOCtrainval_11-May-2012"),
        Archive(("benchmark*", "sbd*"), holds=_SBD_LABELS, published="benchmark", needed=False),
    )
    folders: tuple[str, ...] = ("vocdevkit*", "voc2012*")
    how_to_get = (
        "Get VOCtrainval_11-May-2012.tar (and benchmark.tgz of SBD for the split train_aug), put them in one "
        "folder, and name that folder in data.source."
    )

    def wanted(self, member: str) -> bool:
        """VOC's images, class masks and lists; SBD's class masks and lists, not its copies of the images."""
        return any(kind.pattern.search(member) for kind in self.kinds)

    def samples(self, root: Path, split: str) -> list[Sample]:
        """``train``, ``val``, or ``train_aug``: all masks of SBD and VOC train, without those of VOC val."""
        check_split(self.name, split, self.split_sizes)
        folder = find_folder(root, "VOC2012/ImageSets/Segmentation", "ImageSets/Segmentation")
        lists = Files(folder, [".txt"])
        voc = folder.parent.parent
        images = Files(find_folder(voc, "JPEGImages", depth=1), (".jpg", *IMAGE_SUFFIXES))
        masks = Files(find_folder(voc, "SegmentationClass", depth=1), MASK_SUFFIXES)
        if split == "train_aug":
            labels = self._augmented(root, images, lists, masks)
        else:
            paths = images.listed(read_list(lists.path(split)))
            labels = {path: masks.path(path.stem) for path in paths}
        return sorted(
            (Sample(path.stem, path, label) for path, label in labels.items()),
            key=lambda sample: sample.id,
        )

    def _augmented(self, root: Path, images: Files, lists: Files, masks: Files) -> dict[Path, Path]:
        """Image -> label file of train_aug: VOC's own finer mask for images of VOC train, else SBD's."""
        labels = _sbd_labels(root, images)
        train = images.listed(read_list(lists.path("train")))
        labels |= {path: masks.path(path.stem) for path in train}
        held_out = set(images.listed(read_list(lists.path("val"))))
        return {path: label for path, label in labels.items() if path not in held_out}

    def read_numbers(self, sample: Sample) -> Pixels:
        """The label's numbers, uint8 [H, W]: 0 to 20, and 255 for object borders and difficult regions."""
        is_sbd = sample.label.suffix.lower() == ".mat"
        return _read_sbd(sample.label) if is_sbd else read_ids(sample.label, colours=self.palette)
