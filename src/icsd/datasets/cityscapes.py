"""Cityscapes with fine annotations and the 19 classes that are evaluated."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from icsd.core.labels import IGNORE, Pixels
from icsd.datasets.base import NAME, Archive, Colour, Kind, Sample, check_split, member
from icsd.datasets.reading.folders import Files, find_folder
from icsd.datasets.reading.images import IMAGE_SUFFIXES, read_image
from icsd.datasets.reading.masks import MASK_SUFFIXES, read_ids

_IMAGE = "_leftImg8bit"
_LABEL = "_gtFine_labelIds"
_IMAGES = Kind(
    f"leftImg8bit/{{train,val}}/*/*{_IMAGE}.png",
    member(f"leftImg8bit/(train|val)/[^/]+/{NAME}{_IMAGE}", IMAGE_SUFFIXES),
)
_LABELS = Kind(
    f"gtFine/{{train,val}}/*/*{_LABEL}.png",
    member(f"gtFine/(train|val)/[^/]+/{NAME}{_LABEL}", MASK_SUFFIXES),
)

_LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_TRAIN_IDS = np.full(256, IGNORE, dtype=np.uint8)  # licence plates (−1, stored as 255) and all others too
_TRAIN_IDS[list(_LABEL_IDS)] = np.arange(len(_LABEL_IDS), dtype=np.uint8)


class Cityscapes:
    """Street scenes of 50 cities, 2048×1024 (Cordts et al. 2016)."""

    name = "cityscapes"
    classes: tuple[str, ...] = (
        "road",
        "sidewalk",
        "building",
        "wall",
        "fence",
        "pole",
        "traffic light",
        "traffic sign",
        "vegetation",
        "terrain",
        "sky",
        "person",
        "rider",
        "car",
        "truck",
        "bus",
        "train",
        "motorcycle",
        "bicycle",
    )
    palette: tuple[Colour, ...] = (
        (128, 64, 128),
        (244, 35, 232),
        (70, 70, 70),
        (102, 102, 156),
        (190, 153, 153),
        (153, 153, 153),
        (250, 170, 30),
        (220, 220, 0),
        (107, 142, 35),
        (152, 251, 152),
        (70, 130, 180),
        (220, 20, 60),
        (255, 0, 0),
        (0, 0, 142),
        (0, 0, 70),
        (0, 60, 100),
        (0, 80, 100),
        (0, 0, 230),
        (119, 11, 32),
    )
    split_sizes: Mapping[str, int] = {"train": 2975, "val": 500}
    labels_sha256: Mapping[str, str] = {}
    licence = "Cityscapes licence: non-commercial, after registration"
    homepage = "https://www.cityscapes-dataset.com/"
    kinds: tuple[Kind, ...] = (_IMAGES, _LABELS)
    archives: tuple[Archive, ...] = (
        Archive(("leftimg8bit*",), holds=_IMAGES, published="leftImg8bit_trainvaltest"),
        Archive(("gtfine*",), holds=_LABELS, published="gtFine_trainvaltest"),
    )
    folders: tuple[str, ...] = ("cityscapes*",)
    how_to_get = (
        "Cityscapes needs an account: log in at https://www.cityscapes-dataset.com/downloads/, download "
        "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip, keep these names, put both in one folder, "
        "and name that folder in data.source (or put it in the folder that ICSD_DATASETS names)."
    )

    def wanted(self, member: str) -> bool:
        """Images and label ids of train and val; the test split has no public labels."""
        return any(kind.pattern.search(member) for kind in self.kinds)

    def samples(self, root: Path, split: str) -> list[Sample]:
        """Ids are ``<city>_<sequence>_<frame>``; images and labels may lie under different prefix folders."""
        check_split(self.name, split, self.split_sizes)
        images = find_folder(root, f"leftImg8bit/{split}")
        labels = find_folder(root, f"gtFine/{split}")
        samples = []
        for city in sorted(folder for folder in images.iterdir() if folder.is_dir()):
            masks = Files(labels / city.name, MASK_SUFFIXES)
            for path in Files(city, IMAGE_SUFFIXES).all():
                name = path.stem[: -len(_IMAGE)]
                samples.append(Sample(name, path, masks.path(f"{name}{_LABEL}")))
        return sorted(samples, key=lambda sample: sample.id)

    def read(self, sample: Sample) -> tuple[Pixels, Pixels]:
        """Label ids become the 19 train ids; everything else is 255."""
        return read_image(sample.image), _TRAIN_IDS[read_ids(sample.label)]
