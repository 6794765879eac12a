import pytest

from icsd.data.subsets import chosen_images
from icsd.errors import UserError


def test_all_means_all():
    assert chosen_images(5, "all", key="train.subset") == [0, 1, 2, 3, 4]


def test_a_larger_subset_holds_the_smaller_one():
    small, large = (chosen_images(100, count, key="train.subset") for count in (10, 30))
    assert len(set(small)) == 10
    assert set(small) < set(large) < set(range(100))
    assert small == sorted(small)
    assert small != list(range(10))  # a dataset may be sorted by scene


def test_all_of_them_by_number_is_all():
    assert chosen_images(7, 7, key="train.subset") == list(range(7))


def test_more_than_there_are_is_refused():
    with pytest.raises(UserError, match=r"teacher\.subset: asks for 8 training images, but there are only 7"):
        chosen_images(7, 8, key="teacher.subset")
