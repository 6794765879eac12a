import numpy as np
import pytest

from icsd.datasets.base import Dataset, Numbering, numbers_to_ids
from icsd.datasets.camvid import CamVid
from icsd.datasets.cityscapes import Cityscapes
from icsd.datasets.meaning import other_meanings, unknown_numbers
from icsd.datasets.voc2012 import Voc2012

# Pixels by number in the masks of the three splits of CamVid, counted.
CAMVID = {
    "train": [
        *(10682767, 14750079, 623349, 20076880, 2845085, 6166762),
        *(743859, 714595, 3719877, 405385, 184967, 2503995),
    ],
    "val": [
        *(1601620, 4531180, 98499, 5053176, 1521751, 2851125),
        *(155724, 537197, 304716, 113531, 387010, 297271),
    ],
    "test": [
        *(6870982, 9906732, 473895, 10390661, 3731857, 4530895),
        *(406612, 476807, 1599124, 255232, 76220, 1543383),
    ],
}
DATASETS: dict[str, Dataset] = {"camvid": CamVid(), "cityscapes": Cityscapes(), "voc2012": Voc2012()}


def published(name, split="train"):
    """Pixels by number as in the published masks."""
    counts = np.zeros(256, dtype=np.int64)
    if name == "camvid":
        counts[:12] = CAMVID[split]
        return counts
    numbering = DATASETS[name].numbering
    numbers = [np.flatnonzero(numbering.train_ids == id_)[0] for id_ in range(len(DATASETS[name].classes))]
    counts[[*numbers, 4 if name == "cityscapes" else 255]] = 1e9 * np.array(numbering.shares)
    return counts


def renumbered(counts, numbers):
    """The ``counts`` of masks whose numbers were replaced by ``numbers``."""
    return np.bincount(numbers, weights=counts, minlength=256).astype(np.int64)


def found(name, counts):
    dataset = DATASETS[name]
    return " ".join(str(each) for each in other_meanings(counts, dataset.numbering, dataset.classes))


@pytest.mark.parametrize(
    ("name", "split"),
    [*(("camvid", split) for split in CAMVID), ("cityscapes", "train"), ("voc2012", "train")],
)
def test_published_labels_mean_what_they_should(name, split):
    counts = published(name, split)
    assert found(name, counts) == ""
    assert list(unknown_numbers(counts, DATASETS[name].numbering)) == []


@pytest.mark.parametrize("name", DATASETS)
def test_shares_that_are_merely_unusual_are_no_error(name):
    counts = published(name)
    counts[counts > 0] = counts.sum() // 40  # all classes alike, but for the first
    counts[np.flatnonzero(DATASETS[name].numbering.train_ids == 0)[0]] *= 25
    assert found(name, counts) == ""


@pytest.mark.parametrize("split", CAMVID)
def test_camvid_counted_from_1_is_told_apart(split):
    counts = np.zeros(256, dtype=np.int64)
    counts[:12] = np.roll(CAMVID[split], 1)
    text = found("camvid", counts)
    assert "no pixel is ignored" not in text
    assert "They would be right as classes counted from 1, with 0 for unlabelled" in text


@pytest.mark.parametrize("split", CAMVID)
def test_classes_in_another_order_are_told_apart(split):
    alphabetical = np.argsort(DATASETS["camvid"].classes)
    counts = np.zeros(256, dtype=np.int64)
    counts[:12] = np.array(CAMVID[split])[[*alphabetical, 11]]
    assert "do not mean what they should" in found("camvid", counts)


@pytest.mark.parametrize("name", DATASETS)
def test_every_numbering_that_is_known_is_recognised_by_its_name(name):
    numbering = DATASETS[name].numbering
    for other, table in numbering.others.items():
        numbers = np.zeros(256, dtype=np.intp)
        for id_ in (*range(len(DATASETS[name].classes)), 255):
            where = np.flatnonzero(table == id_)
            numbers[numbering.train_ids == id_] = where[0 if id_ != 255 else -1] if len(where) else 255
        assert f"They would be right as {other}" in found(name, renumbered(published(name), numbers)), other


@pytest.mark.parametrize("name", DATASETS)
def test_a_class_that_is_missing_from_a_complete_split_is_named(name):
    counts = published(name)
    counts[np.flatnonzero(DATASETS[name].numbering.train_ids == 5)[0]] = 0
    assert f"there is no pixel of {DATASETS[name].classes[5]}" in found(name, counts)


@pytest.mark.parametrize("name", DATASETS)
def test_borders_or_unlabelled_pixels_that_are_missing_are_noticed(name):
    counts = published(name)
    counts[DATASETS[name].numbering.train_ids == 255] = 0
    assert "no pixel is ignored" in found(name, counts)


def test_numbers_of_another_variant_are_named_with_those_that_are_looked_for():
    counts = published("cityscapes")
    counts[34] = counts[200] = 7
    (finding,) = unknown_numbers(counts, DATASETS["cityscapes"].numbering)
    assert "34 (7 pixels), 200 (7 pixels); looked for 0 to 33 and 255" in finding.text


def test_without_known_shares_only_missing_classes_are_noticed():
    numbering = Numbering(train_ids=numbers_to_ids({1: 0, 2: 1}), known=frozenset({1, 2}))
    counts = np.zeros(256, dtype=np.int64)
    counts[1] = 100
    assert "there is no pixel of road" in str(next(other_meanings(counts, numbering, ["sky", "road"])))
    counts[2] = 1
    assert list(other_meanings(counts, numbering, ["sky", "road"])) == []
