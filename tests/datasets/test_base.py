import numpy as np
import pytest

from icsd.datasets.base import check_split, find_folder, read_ids, read_image
from icsd.errors import UserError


def test_the_folder_closest_to_the_root_is_found(make):
    root = make.folder({"a/b/train/x": b"", "z/train/x": b""})
    assert find_folder(root, "train") == root / "z/train"


def test_the_first_of_several_names_wins_however_deep(make):
    root = make.folder({"sets/x": b"", "a/b/VOC2012/sets/x": b""})
    assert find_folder(root, "VOC2012/sets", "sets") == root / "a/b/VOC2012/sets"


def test_a_missing_folder_is_named(make):
    with pytest.raises(UserError, match="gtFine/val"):
        find_folder(make.folder({"x": b""}), "gtFine/val")


def test_palette_masks_keep_their_ids(make):
    root = make.folder({"m.png": make.mask([0, 7, 255], palette=True)})
    assert set(np.unique(read_ids(root / "m.png"))) == {0, 7, 255}


def test_colour_masks_are_refused(make):
    root = make.folder({"m.png": make.picture(0)})
    with pytest.raises(UserError, match=r"m\.png is a colour image"):
        read_ids(root / "m.png")


@pytest.mark.parametrize("num_bytes", [0, 20, 90])
def test_cut_off_images_are_named(make, num_bytes):
    root = make.folder({"m.png": make.picture(0)[:num_bytes]})
    with pytest.raises(UserError, match=r"cannot read image m\.png"):
        read_image(root / "m.png")
    with pytest.raises(UserError, match=r"cannot read label m\.png|colour"):
        read_ids(root / "m.png")


def test_grey_images_become_rgb(make):
    root = make.folder({"m.png": make.mask([3, 200])})
    image = read_image(root / "m.png")
    assert image.shape == (6, 8, 3)
    assert (image[..., 0] == image[..., 2]).all()


def test_an_unknown_split_lists_the_known_ones():
    with pytest.raises(UserError, match="no split 'dev'; it has train, val"):
        check_split("voc2012", "dev", ["train", "val"])
