from itertools import combinations

import numpy as np
import pytest

from icsd.reporting.statistics.groups import tied_groups


def pairs(*names: str) -> set[frozenset[str]]:
    """Names of two letters -> the pairs of their letters."""
    return {frozenset(name) for name in names}


def test_methods_all_told_apart_have_groups_of_their_own_in_their_order():
    assert tied_groups("hml", pairs("hm", "hl", "ml")) == {"h": "a", "m": "b", "l": "c"}


def test_methods_alike_share_one_letter():
    assert tied_groups("hml", pairs()) == dict.fromkeys("hml", "a")


def test_a_method_between_two_others_stands_in_both_groups():
    assert tied_groups("hml", pairs("hl")) == {"h": "a", "m": "ab", "l": "b"}


@pytest.mark.parametrize("seed", range(5))
def test_two_methods_share_a_letter_exactly_when_they_are_not_told_apart(seed: int):
    names = "abcdefghi"
    every = list(combinations(names, 2))
    drawn = np.random.default_rng(seed).random(len(every)) < 0.4
    apart = {frozenset(pair) for pair, is_apart in zip(every, drawn, strict=True) if is_apart}
    letters = tied_groups(names, apart)
    assert len(set("".join(letters.values()))) > 1
    for one, two in every:
        assert bool(set(letters[one]) & set(letters[two])) == (frozenset((one, two)) not in apart)


def test_groups_that_say_nothing_new_are_left_out():
    """A ring of six: its six edges are covered by as many groups and no more."""
    ring = {frozenset((str(i), str((i + 1) % 6))) for i in range(6)}
    every = {frozenset(pair) for pair in combinations("012345", 2)}
    letters = tied_groups("012345", every - ring)
    assert sorted(set("".join(letters.values()))) == list("abcdef")


def test_without_methods_there_is_no_group():
    assert tied_groups([], set()) == {}


def test_more_groups_than_letters_of_the_alphabet_still_have_one_character_each():
    names = [f"m{index}" for index in range(60)]
    letters = tied_groups(names, {frozenset(pair) for pair in combinations(names, 2)})
    assert all(len(own) == 1 for own in letters.values())
    assert len(set(letters.values())) == 60
    assert [letters[names[index]] for index in (0, 25, 26, 51, 52)] == ["a", "z", "A", "Z", chr(0x134)]
