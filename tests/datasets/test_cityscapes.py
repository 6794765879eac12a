import numpy as np
import pytest

from icsd.datasets.cityscapes import Cityscapes
from icsd.errors import UserError

cityscapes = Cityscapes()


@pytest.fixture
def root(make):
    tree = {}
    for city, frame in (("ulm", "000001"), ("bochum", "000000")):
        name = f"{city}_{frame}_000019"
        tree[f"0/leftImg8bit/train/{city}/{name}_leftImg8bit.png"] = make.picture(1)
        tree[f"1/x/gtFine/train/{city}/{name}_gtFine_labelIds.png"] = make.mask([7, 33, 0, 34, 255, 26])
    return make.folder(tree)


def test_images_and_labels_may_come_from_two_archives(root):
    samples = cityscapes.samples(root, "train")
    assert [sample.id for sample in samples] == ["bochum_000000_000019", "ulm_000001_000019"]
    assert all(sample.label.is_file() for sample in samples)


def test_images_may_be_saved_anew_with_another_suffix(make):
    name = "ulm_000000_000019"
    tree = {
        f"leftImg8bit/train/ulm/{name}_leftImg8bit.jpg": make.picture(1),
        f"gtFine/train/ulm/{name}_gtFine_labelIds.PNG": make.mask([7]),
    }
    assert all(cityscapes.wanted(member) for member in tree)
    (sample,) = cityscapes.samples(make.folder(tree), "train")
    assert sample.id == name
    assert sample.label.is_file()


def test_label_ids_become_train_ids_and_all_else_is_ignored(root):
    numbers = cityscapes.read_numbers(cityscapes.samples(root, "train")[0])
    assert numbers[0, :6].tolist() == [7, 33, 0, 34, 255, 26]
    assert cityscapes.numbering.train_ids[numbers[0, :6]].tolist() == [0, 18, 255, 255, 255, 13]


def test_all_nineteen_classes_have_a_label_id():
    assert np.unique(cityscapes.numbering.train_ids).tolist() == [*range(19), 255]


def test_one_archive_alone_is_not_enough(make):
    root = make.folder({"leftImg8bit/val/ulm/ulm_0_0_leftImg8bit.png": make.picture(0)})
    with pytest.raises(UserError, match="gtFine/val"):
        cityscapes.samples(root, "val")


@pytest.mark.parametrize(
    ("member", "wanted"),
    [
        ("leftImg8bit/train/ulm/ulm_0_0_leftImg8bit.png", True),
        ("gtFine/val/ulm/ulm_0_0_gtFine_labelIds.png", True),
        ("gtFine/val/ulm/ulm_0_0_gtFine_color.png", False),
        ("gtFine/val/ulm/ulm_0_0_gtFine_polygons.json", False),
        ("leftImg8bit/test/ulm/ulm_0_0_leftImg8bit.png", False),
    ],
)
def test_only_images_and_label_ids_of_train_and_val_are_wanted(member, wanted):
    assert cityscapes.wanted(member) is wanted
