import itertools

import pytest

from icsd.errors import UserError, first_line, refuse, some


def test_a_long_list_names_its_first_and_counts_the_others():
    assert some(["a", "b"], 2) == "a, b"
    assert some("abcde", 5) == "a, b, c, d, e"
    assert some("abcdef", 6) == "a, b, c, d, e and 1 more"
    assert some(map(str, itertools.count()), 1000, most=2) == "0, 1 and 998 more"  # no more are made


def test_all_problems_are_one_error_and_none_is_none():
    refuse([])
    with pytest.raises(UserError, match=r"\Aone\ntwo\Z"):
        refuse(["one", "two", "one"])


@pytest.mark.parametrize(
    ("error", "line"), [(OSError("a\nb"), "a"), (RuntimeError("\n a"), "a"), (KeyError(), "KeyError")]
)
def test_the_reason_of_a_foreign_error_is_its_first_line_or_its_type(error, line):
    assert first_line(error) == line
