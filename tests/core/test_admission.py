"""The arithmetic of the admission test, against predictions whose quality is known."""

from itertools import permutations

import numpy as np
import pytest

from icsd.core.admission import beats_chance, best_order, chance, clearly_better, low_end
from icsd.core.metrics import mean_iou

CLASSES = 4


def counts(right, *, order=None, images=12, shares=(0.55, 0.25, 0.15, 0.05), seed=0):
    """Confusion of a network that predicts ``right`` of the pixels as ``order[class]``, others at random."""
    rng = np.random.default_rng(seed)
    order = np.arange(CLASSES) if order is None else np.array(order)
    found = np.zeros((images, CLASSES, CLASSES), np.int64)
    for image in found:
        truth = rng.choice(CLASSES, size=900, p=rng.dirichlet(20 * np.array(shares)))
        guess = np.where(rng.random(900) < right, order[truth], rng.integers(CLASSES, size=900))
        np.add.at(image, (truth, guess), 1)
    return found


def test_chance_is_the_better_of_two_that_have_learned_nothing():
    truth, predicted = np.array([90, 6, 4]), np.array([50, 30, 20])
    total = np.outer(truth, predicted)
    assert chance(total) == pytest.approx(0.9 / 3)  # the most frequent class everywhere
    even = np.full((2, 2), 250)
    assert chance(even) == pytest.approx(mean_iou(even))  # coins: 1/3, and one class everywhere: 1/4
    assert chance(even) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "shares", [(0.55, 0.25, 0.15, 0.05), (0.25, 0.25, 0.25, 0.25), (0.97, 0.01, 0.01, 0.01)]
)
def test_what_has_learned_nothing_is_not_better_than_chance(shares):
    for seed in range(5):
        assert not beats_chance(counts(0.0, shares=shares, seed=seed))
    assert beats_chance(counts(0.9, shares=shares))


def test_one_lucky_image_among_many_is_no_teacher():
    lucky, rest = counts(1.0, images=1), counts(0.0, images=11, seed=1)
    lucky[0] *= 8
    found = np.concatenate([lucky, rest])
    assert mean_iou(found.sum(0)) - chance(found.sum(0)) > 0.05
    assert not beats_chance(found)


@pytest.mark.parametrize("order", [(1, 0, 2, 3), (0, 1, 3, 2), (3, 0, 1, 2)])
def test_swapped_classes_are_found_with_their_order(order):
    found = best_order(counts(0.8, order=order))
    assert found.swapped
    assert found.column == order
    assert found.miou == pytest.approx(best_order(counts(0.8)).miou, abs=0.02)


def test_the_best_order_is_the_best_of_all():
    total = np.random.default_rng(3).integers(1, 100, (5, CLASSES, CLASSES))
    every = max(mean_iou(total.sum(0)[:, list(order)]) for order in permutations(range(CLASSES)))
    assert best_order(total).miou == pytest.approx(every)


@pytest.mark.parametrize("right", [0.0, 0.05, 0.3, 0.9])
def test_a_weak_network_in_its_own_order_is_not_called_swapped(right):
    for seed in range(5):
        assert not best_order(counts(right, seed=seed)).swapped


def test_a_network_that_has_learned_nothing_has_no_order():
    """Its classes may still overlap better in another: one class everywhere, and not the most frequent."""
    everywhere = np.zeros((12, CLASSES, CLASSES), np.int64)
    everywhere[:, :, 3] = counts(0.0).sum(2)
    found = best_order(everywhere)
    assert found.column[0] == 3
    assert not found.swapped


def test_a_class_that_is_taken_for_another_now_and_then_is_not_swapped():
    found = counts(0.8)
    taken = found[:, 3, 3] // 2
    found[:, 3, 3] -= taken
    found[:, 3, 2] += taken
    assert not best_order(found).swapped


def test_classes_that_images_do_not_have_stay_where_they_are():
    found = counts(0.9, order=(1, 0, 2, 3))
    found[:, 3, :] = 0
    assert best_order(found).column == (1, 0, 2, 3)
    found[:, 2:, :] = 0
    assert best_order(found).column == (1, 0, 2, 3)


def test_another_normalisation_is_clearly_better_whatever_the_order_of_classes():
    bad, good = counts(0.2), counts(0.9, order=(1, 0, 2, 3))
    assert clearly_better(bad, good)
    assert not clearly_better(good, bad)
    assert not clearly_better(good, counts(0.9))
    assert not clearly_better(counts(0.9), counts(0.91))


def test_the_low_end_is_that_of_a_slow_bootstrap():
    data = counts(0.5)
    rng = np.random.Generator(np.random.PCG64(0))
    slow = [mean_iou(sum(data[i] for i in rng.integers(12, size=12))) for _ in range(1000)]
    assert low_end(mean_iou, data) == pytest.approx(np.percentile(slow, 2.5))
