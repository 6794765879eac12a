import json

import numpy as np
import pytest
from tests.reporting.tree import Tree

from icsd.errors import UserError
from icsd.reporting.reading import read_panels


def test_a_complete_grid_has_no_gaps(tree: Tree):
    results = tree.load()
    assert results.gaps == ()
    assert list(results.runs) == [
        ("resnet18", method, seed) for method in ("none", "aicsd") for seed in (0, 1)
    ]
    assert results.teacher.student == "resnet50"
    run = results.runs["resnet18", "aicsd", 1]
    assert run.confusion is not None
    assert run.confusion.shape == (12, 9, 9)


def test_what_is_on_disk_outside_the_grid_is_not_read(tree: Tree):
    tree.seeds = (1,)
    tree.methods = ("aicsd",)
    assert list(tree.load().runs) == [("resnet18", "aicsd", 1)]


def test_missing_files_are_gaps_with_their_paths(tree: Tree):
    (tree.root / "results/shapes/aicsd/resnet18-1/metrics.json").unlink()
    (tree.root / "costs/shapes/teacher.json").unlink()
    results = tree.load()
    assert results.gaps == ("costs/shapes/teacher.json", "results/shapes/aicsd/resnet18-1/metrics.json")
    assert [run.seed for run in results.of("resnet18", "aicsd")] == [0]
    assert results.teacher.metrics is not None


def test_a_run_that_was_never_made_misses_all_its_files(tree: Tree):
    tree.seeds = (0, 1, 2)
    gaps = tree.load().gaps
    assert len(gaps) == 2 * 7
    assert all("resnet18-2" in gap for gap in gaps)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"miou": 61.0}, "metrics.json: miou: "),
        ({"seed": "1"}, "metrics.json: seed: "),
        ({"schema": 2}, "metrics.json: schema: "),
        ({"agreement": {"pixels": 0.9}}, "metrics.json: agreement.kl: "),
        ({"iou_per_class": [0.5]}, "iou_per_class has 1 values for 9 classes"),
        ({"method": "kd"}, "method is 'kd', expected 'aicsd'"),
        ({"num_images": 13}, r"confusion has shape \(12, 9, 9\)"),
    ],
)
def test_a_malformed_file_is_named_with_its_field(tree: Tree, change: dict[str, object], message: str):
    tree.edit_metrics("aicsd", "resnet18", 1, change)
    with pytest.raises(UserError, match=message):
        tree.load()


def test_a_file_that_is_no_json_is_named(tree: Tree):
    (tree.root / "runs/shapes/none/resnet18-0/train.json").write_text("{")
    with pytest.raises(UserError, match=r"train\.json: the whole file"):
        tree.load()


@pytest.mark.parametrize("content", ["", "lr,loss/ce\n0.1,2\n", "epoch,lr\n1,high\n"])
def test_a_malformed_history_is_named(tree: Tree, content: str):
    (tree.root / "runs/shapes/none/resnet18-0/history.csv").write_text(content)
    with pytest.raises(UserError, match=r"history\.csv"):
        tree.load()


def test_an_unreadable_or_incomplete_npz_is_named(tree: Tree):
    path = tree.root / "results/shapes/none/resnet18-0/ics.npz"
    np.savez(path, other=np.zeros(3))
    with pytest.raises(UserError, match=r"ics\.npz: array student is missing"):
        tree.load()
    path.write_bytes(b"not a zip file")
    with pytest.raises(UserError, match=r"ics\.npz: not a readable npz"):
        tree.load()


def test_runs_evaluated_on_different_images_cannot_be_compared(tree: Tree):
    path = tree.root / "results/shapes/aicsd/resnet18-0/confusion.npz"
    with np.load(path) as arrays:
        confusion, ids = arrays["confusion"], arrays["ids"]
    np.savez(path, confusion=confusion, ids=ids[::-1])
    with pytest.raises(UserError, match="aicsd resnet18, seed 0, was evaluated on other images"):
        tree.load()


def test_panels_of_different_sizes_are_refused(tree: Tree):
    path = tree.root / "results/shapes/teacher/panels.npz"
    panels = read_panels(path)
    assert panels.images.shape == (3, 24, 24, 3)
    np.savez(path, ids=panels.ids, images=panels.images, labels=panels.labels, predictions=panels.labels[:1])
    with pytest.raises(UserError, match=r"panels\.npz: .* differ"):
        read_panels(path)


def test_fields_of_later_versions_are_no_error(tree: Tree):
    path = tree.edit_metrics("none", "resnet18", 0, {"boundary_f1": 0.5})
    assert "boundary_f1" in json.loads(path.read_text())
    assert tree.load().gaps == ()
