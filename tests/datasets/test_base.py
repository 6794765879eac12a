import pytest

from icsd.datasets.base import check_split, find_folder
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


def test_an_unknown_split_lists_the_known_ones():
    with pytest.raises(UserError, match="no split 'dev'; it has train, val"):
        check_split("voc2012", "dev", ["train", "val"])
