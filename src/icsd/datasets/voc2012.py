"""Pascal VOC 2012 segmentation, optionally with the extra masks of SBD (10,582 training images)."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from icsd.core.labels import Pixels
from icsd.datasets.base import (
    Archive,
    Colour,
    Sample,
    check_split,
    find_folder,
    read_list,
)
from icsd.datasets.reading.images import read_image
from icsd.datasets.reading.masks import read_ids
from icsd.errors import UserError

_MEMBER = re.compile(
    r"(^|/)("
    r"JPEGImages/[^/.][^/]*\.jpg|SegmentationClass/[^/.][^/]*\.png|ImageSets/Segmentation/[^/.][^/]*\.txt"
    r"|cls/[^/.][^/]*\.mat|(train|val)\.txt"
    r")$"
)


def _voc_palette(num_colours: int) -> tuple[Colour, ...]:
    """VOC's colours: the bits of the class number dealt out to red, green, blue, highest bit first."""
    colours = []
    for number in range(num_colours):
        channels = [0, 0, 0]
        for level in range(3):
            for channel in range(3):
                channels[channel] |= (number >> (3 * level + channel) & 1) << (7 - level)
        colours.append((channels[0], channels[1], channels[2]))
    return tuple(colours)


def _read_sbd(path: Path) -> Pixels:
    """SBD's mask, uint8 [H, W]: same class numbers as VOC, but object borders are not marked 255."""
    from scipy.io import loadmat  # here: only SBD needs it, and it is slow to import

    try:
        return np.asarray(loadmat(path)["GTcls"]["Segmentation"][0, 0], dtype=np.uint8)
    except Exception as error:  # a damaged file makes SciPy's reader raise whatever it stumbles over
        raise UserError(f"cannot read SBD label {path.name}: {error}") from error


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
    palette: tuple[Colour, ...] = _voc_palette(21)
    split_sizes: Mapping[str, int] = {"train": 1464, "train_aug": 10582, "val": 1449}
    labels_sha256: Mapping[str, str] = {}
    licence = "Flickr terms of use (images); see the homepage"
    homepage = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"
    archives: tuple[Archive, ...] = (
        Archive(("voctrainval*2012*", "voc2012*")),
        Archive(("benchmark*", "sbd*"), needed=False),
    )
    folders: tuple[str, ...] = ("vocdevkit*", "voc2012*")
    how_to_get = (
        "Get VOCtrainval_11-May-2012.tar (and benchmark.tgz of SBD for the split train_aug), put them in one "
        "folder, and name that folder in data.source."
    )

    def wanted(self, member: str) -> bool:
        """Images, class masks and lists; SBD's class masks and lists, not its copies of VOC's images."""
        return _MEMBER.search(member) is not None

    def samples(self, root: Path, split: str) -> list[Sample]:
        """``train``, ``val``, or ``train_aug``: all masks of SBD and VOC train, without those of VOC val."""
        check_split(self.name, split, self.split_sizes)
        lists = find_folder(root, "VOC2012/ImageSets/Segmentation", "ImageSets/Segmentation")
        voc = lists.parent.parent
        if split != "train_aug":
            labels = {
                name: voc / "SegmentationClass" / f"{name}.png" for name in read_list(lists / f"{split}.txt")
            }
        else:
            labels = self._augmented(root, lists)
        return [Sample(name, voc / "JPEGImages" / f"{name}.jpg", labels[name]) for name in sorted(labels)]

    def _augmented(self, root: Path, lists: Path) -> dict[str, Path]:
        """Label file of every image of train_aug: VOC's own finer mask where VOC train has one."""
        sbd = find_folder(root, "cls")
        names = read_list(sbd.parent / "train.txt") + read_list(sbd.parent / "val.txt")
        labels = {name: sbd / f"{name}.mat" for name in names}
        masks = lists.parent.parent / "SegmentationClass"
        labels |= {name: masks / f"{name}.png" for name in read_list(lists / "train.txt")}
        held_out = set(read_list(lists / "val.txt"))
        return {name: path for name, path in labels.items() if name not in held_out}

    def read(self, sample: Sample) -> tuple[Pixels, Pixels]:
        """Object borders and difficult regions are 255 as published."""
        is_sbd = sample.label.suffix == ".mat"
        return read_image(sample.image), _read_sbd(sample.label) if is_sbd else read_ids(sample.label)
