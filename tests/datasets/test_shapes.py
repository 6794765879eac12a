import hashlib

import numpy as np
import pytest

from icsd.datasets.shapes import Shapes, generate


def test_scenes_are_the_same_bytes_everywhere():
    digest = hashlib.sha256()
    for index in range(8):
        for plane in generate("train", index, seed=0):
            digest.update(plane.tobytes())
    assert digest.hexdigest() == "66278b29662d2a6d072204826131039fc675895e8120f6913899282e4bae0dc8"


@pytest.mark.parametrize("size", [48, 96, 160])
def test_sizes_and_types(size):
    image, label = generate("train", 0, seed=0, size=size)
    assert image.shape == (size, size, 3)
    assert label.shape == (size, size)
    assert image.dtype == label.dtype == np.uint8


def test_split_index_and_seed_all_matter():
    scenes = [("train", 0, 0), ("val", 0, 0), ("train", 1, 0), ("train", 0, 1)]
    images = {generate(split, index, seed=seed)[0].tobytes() for split, index, seed in scenes}
    assert len(images) == 4


def test_every_class_occurs_and_a_few_percent_are_ignored():
    counts = np.sum(
        [np.bincount(generate("train", index, seed=3)[1].reshape(-1), minlength=256) for index in range(60)],
        axis=0,
    )
    shares = counts / counts.sum()
    assert set(np.flatnonzero(counts)) == {*range(len(Shapes.classes)), 255}
    assert 0.01 < shares[255] < 0.06
    assert shares[1:9].min() > 0.01
    assert 0.5 < shares[0] < 0.85


def test_siblings_share_their_mean_colour_and_families_do_not():
    sums, counts = np.zeros((9, 3)), np.zeros(9)
    for index in range(80):
        image, label = generate("train", index, seed=5)
        for number in range(1, 9):
            pixels = image[label == number]
            sums[number] += pixels.sum(axis=0)
            counts[number] += len(pixels)
    means = sums[1:] / counts[1:, None]
    families = [means[0:3], means[3:6], means[6:8]]
    within = max(np.ptp(family, axis=0).max() for family in families)
    centres = [family.mean(axis=0) for family in families]
    between = min(np.abs(one - other).max() for one in centres for other in centres if one is not other)
    assert between > 2 * within
