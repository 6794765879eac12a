from itertools import combinations

import numpy as np
import pytest

from icsd.reporting.statistics.estimates import holm, paired_p
from icsd.reporting.statistics.groups import tied_groups


def scores(means: dict[str, float], *, num_seeds: int = 5, noise: float = 0.1) -> dict[str, dict[int, float]]:
    random = np.random.default_rng(0)
    return {name: dict(enumerate(mean + random.normal(0, noise, num_seeds))) for name, mean in means.items()}


def test_methods_far_apart_have_groups_of_their_own_in_the_order_of_their_means():
    assert tied_groups(scores({"low": 1, "high": 9, "middle": 5})) == {"high": "a", "middle": "b", "low": "c"}


def test_methods_alike_share_one_letter():
    assert set(tied_groups(scores({"kd": 1, "at": 1, "sp": 1})).values()) == {"a"}


def test_a_method_between_two_others_stands_in_both_groups():
    alternating = {
        "high": [2.2, 2.0, 2.2, 2.0],
        "middle": [1.0, 2.6, 0.2, 2.4],
        "low": [1.0, 1.2, 1.0, 1.3],
    }
    found = tied_groups({name: dict(enumerate(values)) for name, values in alternating.items()})
    assert found == {"high": "a", "middle": "ab", "low": "b"}


@pytest.mark.parametrize("seed", range(5))
def test_two_methods_share_a_letter_exactly_when_no_test_tells_them_apart(seed: int):
    random = np.random.default_rng(seed)
    means = random.uniform(0, 3, 9)
    drawn = {
        f"m{index}": dict(enumerate(mean + random.normal(0, 0.3, 6))) for index, mean in enumerate(means)
    }
    pairs = list(combinations(drawn, 2))
    p_values = holm([paired_p([drawn[a][seed] - drawn[b][seed] for seed in range(6)]) for a, b in pairs])
    letters = tied_groups(drawn)
    assert len(set("".join(letters.values()))) > 1
    for (one, two), p in zip(pairs, p_values, strict=True):
        assert bool(set(letters[one]) & set(letters[two])) == (p is None or p >= 0.05)


def test_one_training_is_in_no_group():
    assert tied_groups({"kd": {0: 1.0}, "at": {0: 2.0}}) == {}
    assert tied_groups({}) == {}


def test_a_pair_without_common_seeds_is_not_told_apart():
    assert tied_groups({"kd": {0: 1.0, 1: 1.1}, "at": {2: 9.0, 3: 9.1}}) == {"at": "a", "kd": "a"}


def test_noise_alone_is_split_into_groups_at_most_once_in_twenty():
    random = np.random.default_rng(0)
    split = 0
    for _ in range(300):
        drawn = random.normal(0, 1, (5, 3))
        split += (
            len(set(tied_groups({str(i): dict(enumerate(row)) for i, row in enumerate(drawn)}).values())) > 1
        )
    assert split / 300 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
