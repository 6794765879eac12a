"""Cityscapes with fine annotations and the 19 evaluated classes."""

from collections.abc import Mapping
from pathlib import Path

from icsd.core.labels import Pixels
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
from icsd.datasets.reading.folders import Files, find_folder, folder_in
from icsd.datasets.reading.masks import read_ids

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
_NUMBERING = Numbering(
    train_ids=numbers_to_ids({number: id_ for id_, number in enumerate(_LABEL_IDS)}),
    known=frozenset({*range(34), 255}),  # licence plates are −1, stored as 255
    # Shares in the 2,975 training masks, derived from ERFNet's class weights 1 / ln(1.1 + share).
    shares=(
        *(0.327, 0.054, 0.202, 0.006, 0.008, 0.011, 0.002, 0.005, 0.141, 0.010),
        *(0.035, 0.011, 0.001, 0.062, 0.002, 0.002, 0.002, 0.001, 0.004, 0.115),
    ),
    others={
        "train ids (0 to 18), as in *_gtFine_labelTrainIds.png": numbers_to_ids(
            {id_: id_ for id_ in range(len(_LABEL_IDS))}
        ),
        "train ids counted from 1": numbers_to_ids({id_ + 1: id_ for id_ in range(len(_LABEL_IDS))}),
        "label ids counted from 1": numbers_to_ids(
            {number + 1: id_ for id_, number in enumerate(_LABEL_IDS)}
        ),
        "label ids less 1": numbers_to_ids({number - 1: id_ for id_, number in enumerate(_LABEL_IDS)}),
    },
)


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
    numbering = _NUMBERING
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
        """Samples with ids ``<city>_<sequence>_<frame>``; folders of images and labels may lie apart."""
        check_split(self.name, split, self.split_sizes)
        images = find_folder(root, f"leftImg8bit/{split}")
        labels = find_folder(root, f"gtFine/{split}")
        samples = []
        for city in sorted(folder for folder in images.iterdir() if folder.is_dir()):
            masks = Files(folder_in(labels, city.name), MASK_SUFFIXES)
            for path in Files(city, IMAGE_SUFFIXES).all():
                name = path.stem[: -len(_IMAGE)]
                samples.append(Sample(name, path, masks.path(f"{name}{_LABEL}")))
        return sorted(samples, key=lambda sample: sample.id)

    def read_numbers(self, sample: Sample) -> Pixels:
        """The label ids, uint8 [H, W]: 0 to 33, of which 19 are evaluated."""
        return read_ids(sample.label)
