import itertools

from icsd.errors import some


def test_a_long_list_names_its_first_and_counts_the_others():
    assert some(["a", "b"], 2) == "a, b"
    assert some("abcde", 5) == "a, b, c, d, e"
    assert some("abcdef", 6) == "a, b, c, d, e and 1 more"
    assert some(map(str, itertools.count()), 1000, most=2) == "0, 1 and 998 more"  # no more are made
