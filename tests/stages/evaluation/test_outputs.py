"""The files of a measurement."""

import json

import numpy as np
import pytest

from icsd.data.shards import ShardedSplit
from icsd.stages.evaluation.outputs import LARGEST_SIDE, panels


class Split(ShardedSplit):
    """Two images of different sizes."""

    def __init__(self, *sizes):
        self._sizes = sizes

    @property
    def ids(self):
        return ["first", "second"]

    def __getitem__(self, index):
        label = np.full(self._sizes[index], index + 1, np.uint8)
        return label[..., None].repeat(3, 2), label


def predictions_of(split):
    return {index: split[index][1] for index in range(2)}


def test_all_pictured_images_have_the_size_of_the_first():
    split = Split((6, 8), (12, 4))
    arrays = panels(split, [0, 1], predictions_of(split))
    assert {name: array.shape for name, array in arrays.items()} == {
        "ids": (2,),
        "images": (2, 6, 8, 3),
        "labels": (2, 6, 8),
        "predictions": (2, 6, 8),
    }
    assert [np.unique(label).tolist() for label in arrays["labels"]] == [[1], [2]]


def test_large_images_are_scaled_down():
    split = Split((256, 2 * LARGEST_SIDE), (8, 8))
    assert panels(split, [0, 1], predictions_of(split))["labels"].shape == (2, 128, LARGEST_SIDE)


def test_no_pictured_image_gives_empty_arrays():
    arrays = panels(Split(), [], {})
    assert [len(arrays[name]) for name in ("ids", "images", "labels", "predictions")] == [0, 0, 0, 0]
    assert arrays["images"].ndim == 4


@pytest.fixture
def measured(taught):
    """The teacher of a tiny project, measured."""
    from icsd.stages.evaluation.run import evaluate_teacher

    evaluate_teacher(taught)
    return taught / "results/shapes/teacher"


def test_a_measured_teacher_has_its_scores_and_the_arrays_behind_them(measured):
    assert {path.name for path in measured.iterdir()} == {
        *("metrics.json", "confusion.npz", "ics.npz", "panels.npz")
    }
    metrics = json.loads((measured / "metrics.json").read_text())
    with np.load(measured / "confusion.npz") as arrays:
        total = arrays["confusion"].sum(0)
        assert len(arrays["ids"]) == metrics["num_images"] == 5
    hits, truth = np.diag(total), total.sum(1)
    with np.errstate(invalid="ignore"):
        iou = hits / (truth + total.sum(0) - hits)
    assert metrics["miou"] == pytest.approx(iou[truth > 0].mean())
    assert [value is None for value in metrics["iou_per_class"]] == (truth == 0).tolist()
    assert metrics["agreement"] is None
    with np.load(measured / "ics.npz") as arrays:
        assert list(arrays) == ["teacher"]


def test_a_second_measurement_replaces_the_first_with_the_same_bytes(measured):
    from icsd.stages.evaluation.run import evaluate_teacher

    before = {path.name: path.read_bytes() for path in measured.iterdir()}
    (measured / "diverged.json").write_text("{}")  # of a former training
    evaluate_teacher(measured.parents[2])
    assert {path.name: path.read_bytes() for path in measured.iterdir()} == before
    assert [path.name for path in measured.parent.iterdir()] == ["teacher"]
