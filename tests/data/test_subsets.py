from icsd.data.subsets import chosen_images, other_images


def test_all_means_all():
    assert chosen_images(5, "all") == [0, 1, 2, 3, 4]


def test_a_larger_subset_holds_the_smaller_one():
    small, large = (chosen_images(100, count) for count in (10, 30))
    assert len(set(small)) == 10
    assert set(small) < set(large) < set(range(100))
    assert small == sorted(small)
    assert small != list(range(10))  # a dataset may be sorted by scene


def test_where_there_are_no_more_all_train():
    assert chosen_images(7, 7) == chosen_images(7, 8) == list(range(7))


def test_the_others_are_what_the_subset_leaves():
    chosen, others = chosen_images(40, 10), other_images(40, 10, "all")
    assert sorted(chosen + others) == list(range(40))
    assert others == sorted(others)
    few = other_images(40, 10, 7)
    assert len(few) == 7
    assert set(few) < set(others)
    assert other_images(40, "all", "all") == other_images(40, 40, 5) == other_images(40, 10, 0) == []
