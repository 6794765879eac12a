import io

import numpy as np
import pytest
from scipy.io import savemat

from icsd.datasets.reading.images import read_image
from icsd.datasets.voc2012 import Voc2012
from icsd.errors import UserError

voc = Voc2012()


def sbd_mask(values: list[int]) -> bytes:
    stream = io.BytesIO()
    savemat(
        stream,
        {"GTcls": {"Segmentation": np.resize(np.array(values, dtype=np.uint8), (6, 8)), "Boundaries": 0}},
    )
    return stream.getvalue()


@pytest.fixture
def root(make):
    """VOC train: a b; VOC val: c. SBD train: b d; SBD val: c e."""
    devkit = "VOCdevkit/VOC2012"
    tree = {f"{devkit}/JPEGImages/{name}.jpg": make.picture(number) for number, name in enumerate("abcde")}
    for name in "abc":
        tree[f"{devkit}/SegmentationClass/{name}.png"] = make.mask([0, 15, 255], palette=True)
    for name in "bcde":
        tree[f"benchmark_RELEASE/dataset/cls/{name}.mat"] = sbd_mask([0, 20])
    lists = {"train": "a\nb\n", "val": "c\n"}
    tree |= {f"{devkit}/ImageSets/Segmentation/{split}.txt": names.encode() for split, names in lists.items()}
    tree |= {"benchmark_RELEASE/dataset/train.txt": b"d\nb\n", "benchmark_RELEASE/dataset/val.txt": b"c\ne\n"}
    return make.folder(tree)


def test_the_lists_decide_what_a_split_is(root):
    assert [sample.id for sample in voc.samples(root, "train")] == ["a", "b"]
    assert [sample.id for sample in voc.samples(root, "val")] == ["c"]


def test_images_with_another_suffix_are_found(make, root):
    folder = root / "VOCdevkit/VOC2012/JPEGImages"
    (folder / "a.jpg").rename(folder / "a.JPG")
    (folder / "b.jpg").rename(folder / "b.jpeg")
    assert [sample.image.name for sample in voc.samples(root, "train")] == ["a.JPG", "b.jpeg"]


def test_a_listed_image_that_is_missing_is_named_with_its_folder(root):
    (root / "VOCdevkit/VOC2012/JPEGImages/a.jpg").unlink()
    with pytest.raises(UserError, match=r"cannot read image a\.jpg: JPEGImages/ holds no such file"):
        read_image(voc.samples(root, "train")[0].image)


def test_train_aug_is_sbd_and_voc_train_without_voc_val(root):
    samples = {sample.id: sample.label.suffix for sample in voc.samples(root, "train_aug")}
    assert samples == {"a": ".png", "b": ".png", "d": ".mat", "e": ".mat"}


def test_masks_of_both_kinds_give_train_ids(root):
    labels = {sample.id: voc.read_numbers(sample) for sample in voc.samples(root, "train_aug")}
    assert set(np.unique(labels["a"])) == {0, 15, 255}
    assert set(np.unique(labels["d"])) == {0, 20}
    assert labels["d"].dtype == np.uint8


def test_a_damaged_sbd_mask_is_named(root):
    path = root / "benchmark_RELEASE/dataset/cls/d.mat"
    path.write_bytes(b"MATLAB nothing")
    with pytest.raises(UserError, match=r"d\.mat"):
        voc.read_numbers(voc.samples(root, "train_aug")[2])


def test_train_aug_without_sbd_says_what_is_missing(make, root):
    (root / "benchmark_RELEASE").rename(make.root / "elsewhere")
    with pytest.raises(UserError, match="No folder cls"):
        voc.samples(root, "train_aug")


def test_the_palette_is_vocs():
    colours = dict(zip(voc.classes, voc.palette, strict=True))
    assert colours["aeroplane"] == (128, 0, 0)
    assert colours["person"] == (192, 128, 128)
    assert colours["tv monitor"] == (0, 64, 128)


@pytest.mark.parametrize(
    ("member", "wanted"),
    [
        ("VOCdevkit/VOC2012/JPEGImages/2007_000027.jpg", True),
        ("VOCdevkit/VOC2012/SegmentationClass/2007_000032.png", True),
        ("VOCdevkit/VOC2012/SegmentationObject/2007_000032.png", False),
        ("VOCdevkit/VOC2012/Annotations/2007_000027.xml", False),
        ("benchmark_RELEASE/dataset/cls/2008_000002.mat", True),
        ("benchmark_RELEASE/dataset/inst/2008_000002.mat", False),
        ("benchmark_RELEASE/dataset/img/2008_000002.jpg", False),
    ],
)
def test_only_what_segmentation_needs_is_wanted(member, wanted):
    assert voc.wanted(member) is wanted


def test_train_aug_takes_the_masks_of_sbd_as_pictures_too(make, root):
    (root / "benchmark_RELEASE").rename(make.root / "elsewhere")
    folder = next(root.rglob("SegmentationClass")).with_name("SegmentationClassAug")
    folder.mkdir()
    for name in "abcde":
        (folder / f"{name}.png").write_bytes(make.mask([0, 15, 255]))
    samples = {sample.id: sample.label.parent.name for sample in voc.samples(root, "train_aug")}
    assert samples == {
        "a": "SegmentationClass",
        "b": "SegmentationClass",
        "d": "SegmentationClassAug",
        "e": "SegmentationClassAug",
    }
