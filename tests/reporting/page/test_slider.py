import json

import numpy as np
import pytest
from tests.reporting.tree import CLASSES, Tree

from icsd.errors import UserError
from icsd.reporting.page.slider import similarity_histories


def test_every_method_has_its_matrices_as_means_over_the_seeds(tree: Tree):
    found = similarity_histories(tree.load(), CLASSES, focus="none")
    assert found["focus"] == "Student alone"
    (network,) = found["networks"]
    assert [method["label"] for method in network["methods"]] == ["Student alone", "AICSD"]
    aicsd = network["methods"][1]
    assert (aicsd["seeds"], aicsd["epochs"]) == (2, [0, 1, 2, 3, 4, 5, 6])
    folders = [tree.folder("runs", "aicsd", "resnet18", seed) for seed in (0, 1)]
    matrices = [np.load(folder / "similarity.npz")["student"] for folder in folders]
    assert np.array(aicsd["student"]) == pytest.approx(np.mean(matrices, axis=0), rel=6e-3)
    assert np.array(network["teacher"]).shape == (9, 9)
    assert len(json.dumps(found)) < 20_000


def test_a_seed_that_stopped_early_is_not_in_the_mean(tree: Tree):
    path = tree.folder("runs", "aicsd", "resnet18", 1) / "similarity.npz"
    arrays = dict(np.load(path))
    np.savez(
        path,
        **{name: arrays[name][:3] for name in ("epochs", "student", "distance")},
        teacher=arrays["teacher"],
    )
    (network,) = similarity_histories(tree.load(), CLASSES, focus="none")["networks"]
    assert [method["seeds"] for method in network["methods"]] == [2, 1]
    assert len(network["methods"][1]["student"]) == 7


def test_without_any_matrices_there_is_no_slider(tree: Tree):
    for method in tree.methods:
        for seed in tree.seeds:
            (tree.folder("runs", method, "resnet18", seed) / "similarity.npz").unlink()
    results = tree.load()
    assert similarity_histories(results, CLASSES, focus="none") is None
    assert results.gaps == ()


def test_matrices_that_do_not_fit_together_are_named(tree: Tree):
    path = tree.folder("runs", "aicsd", "resnet18", 0) / "similarity.npz"
    arrays = dict(np.load(path))
    np.savez(path, **arrays | {"epochs": np.arange(3)})
    with pytest.raises(UserError, match=r"similarity\.npz: epochs \(3,\), student \(7, 9, 9\)"):
        tree.load()
