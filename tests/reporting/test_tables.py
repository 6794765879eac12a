import json
import shutil

import numpy as np
import pandas as pd
import pytest
from tests.reporting.tree import CLASSES, Tree

from icsd.reporting import tables
from icsd.reporting.protocol import protocol
from icsd.reporting.results import Results


def comparison(results: Results) -> pd.DataFrame:
    draws = tables.draw(results, resamples=200, seed=0)
    return tables.comparison(results, draws, seed=0).set_index(["student", "method"])


def mious(tree: Tree, method: str) -> np.ndarray:
    paths = [tree.root / f"results/shapes/{method}/resnet18-{seed}/metrics.json" for seed in tree.seeds]
    return np.array([100 * json.loads(path.read_text())["miou"] for path in paths])


def test_rows_are_the_teacher_and_then_the_grid_in_its_order(tree: Tree):
    assert list(comparison(tree.load()).index) == [
        ("resnet50", "teacher"),
        ("resnet18", "none"),
        ("resnet18", "aicsd"),
    ]


def test_scores_are_means_over_seeds_in_percent(tree: Tree):
    row = comparison(tree.load()).loc["resnet18", "aicsd"]
    values = mious(tree, "aicsd")
    assert (row["miou_mean"], row["miou_std"]) == (
        pytest.approx(values.mean()),
        pytest.approx(values.std(ddof=1)),
    )
    assert row["n_seeds"] == 2
    assert row["agreement_pixels"] == pytest.approx(90)
    assert row["miou_low"] < row["miou_mean"] < row["miou_high"]


def test_differences_to_the_student_alone_are_paired_by_seed(tree: Tree):
    row = comparison(tree.load()).loc["resnet18", "aicsd"]
    differences = mious(tree, "aicsd") - mious(tree, "none")
    assert row["delta_mean"] == pytest.approx(differences.mean())
    assert row["delta_std"] == pytest.approx(differences.std(ddof=1))
    assert row["delta_low"] < row["delta_mean"] < row["delta_high"]
    assert row["p"] == row["p_holm"]


def test_a_seed_without_its_partner_is_left_out_of_the_difference(tree: Tree):
    alone = mious(tree, "none")[1]
    (tree.root / "results/shapes/none/resnet18-0/metrics.json").unlink()
    row = comparison(tree.load()).loc["resnet18", "aicsd"]
    assert (row["n_seeds"], row["n_pairs"]) == (2, 1)
    assert row["delta_mean"] == pytest.approx(mious(tree, "aicsd")[1] - alone)


def test_gaps_are_missing_values_and_never_zero(tree: Tree):
    shutil.rmtree(tree.root / "results/shapes/aicsd")
    row = comparison(tree.load()).loc["resnet18", "aicsd"]
    assert row["n_seeds"] == 0
    assert row.drop("n_seeds").drop("n_pairs").isna().all()


def test_without_the_teacher_there_is_still_a_table(tree: Tree):
    shutil.rmtree(tree.root / "results/shapes/teacher")
    table = comparison(tree.load())
    assert table["miou_mean"].isna().tolist() == [True, False, False]


def test_one_seed_has_a_difference_but_no_inference(tree: Tree):
    tree.seeds = (0,)
    row = comparison(tree.load()).loc["resnet18", "aicsd"]
    assert pd.notna(row["delta_mean"])
    assert pd.isna(row["miou_std"])
    assert pd.isna(row["p_holm"])
    assert row["interval_over"] == "images"


def test_published_values_stand_beside_ours_with_their_source(tree: Tree):
    voc = Tree(tree.root, dataset="voc2012").write()
    row = comparison(voc.load()).loc["resnet18", "aicsd"]
    assert (row["published_miou"], row["published_std"]) == (70.03, 0.13)
    assert row["published_delta"] == pytest.approx(2.53)
    assert "2308.04243" in row["published_source"]
    assert comparison(tree.load())["published_miou"].isna().all()


def test_contrasts_take_the_focus_minus_every_other_method(tree: Tree):
    tree.quality["kd"] = 0.7
    tree.methods = ("none", "kd", "aicsd")
    for seed in tree.seeds:
        tree.write_run("kd", "resnet18", seed)
    results = tree.load()
    table = tables.contrasts(results, tables.draw(results, resamples=100, seed=0), focus="aicsd", seed=0)
    assert table[["method", "reference"]].to_numpy().tolist() == [["aicsd", "kd"]]
    assert table["delta_mean"].tolist() == [pytest.approx((mious(tree, "aicsd") - mious(tree, "kd")).mean())]


def test_per_class_means_leave_absent_classes_empty(tree: Tree):
    for seed in tree.seeds:
        path = tree.root / f"results/shapes/none/resnet18-{seed}/metrics.json"
        iou = json.loads(path.read_text())["iou_per_class"]
        tree.edit_metrics("none", "resnet18", seed, {"iou_per_class": [None, 0.5 + 0.1 * seed, *iou[2:]]})
    table = tables.per_class(tree.load())
    alone = table[(table["method"] == "none")].set_index("class")
    assert list(alone.index) == list(CLASSES)
    assert alone.loc["road", ["iou_mean", "iou_std"]].tolist() == [
        pytest.approx(55),
        pytest.approx(7.0710678),
    ]
    assert pd.isna(alone.loc["sky", "iou_mean"])
    assert alone.loc["sky", "n_seeds"] == 0


def test_cost_is_relative_to_the_student_alone(tree: Tree):
    table = tables.cost(tree.load()).set_index("method")
    assert table.loc["aicsd", "relative_time"] == pytest.approx(1.2)
    assert table.loc["aicsd", "minutes_training"] == pytest.approx(60.5 / 60)
    assert table.loc["aicsd", "flops"] == 123_456_789


def test_a_missing_cost_leaves_its_row_empty(tree: Tree):
    shutil.rmtree(tree.root / "costs/shapes/none")
    table = tables.cost(tree.load()).set_index("method")
    assert table.loc["none", ["seconds_per_epoch", "device"]].isna().all()
    assert pd.isna(table.loc["aicsd", "relative_time"])


def test_provenance_names_run_commit_and_weights(tree: Tree):
    row = tables.provenance(tree.load()).iloc[-1]
    assert (row["method"], row["seed"]) == ("aicsd", 1)
    assert row["mlflow_run_id"] == "run-aicsd-resnet18-1"
    assert row["git_commit"] == "0123456789ab"
    assert len(row["weights_sha256"]) == 64


def test_histories_are_stacked_with_method_and_seed(tree: Tree):
    table = tables.histories(tree.load(), "resnet18")
    assert table.groupby(["method", "seed"]).size().tolist() == [6, 6, 6, 6]
    assert table.loc[table["method"] == "none", "loss/icsd"].isna().all()


def test_the_protocol_says_what_was_trained_and_where_methods_differ(tree: Tree):
    card = protocol(tree.load()).set_index("setting")
    assert card.loc["Reported on", "students"] == "test, 12 images"
    assert card.loc["Network"].tolist() == [
        "DeepLabV3+, ResNet-50, width 0.25",
        "DeepLabV3+, ResNet-18, width 0.25",
    ]
    assert card.loc["Seeds", "students"] == "0, 1"
    assert card.loc["Initial weights", "students"] == "from scratch"
    assert card.loc["train.lr", "students"] == "0.05"
    assert card.loc["method.alw", "students"] == "Student alone: false; AICSD: true"


def test_the_protocol_ignores_runs_that_are_missing(tree: Tree):
    (tree.root / "results/shapes/aicsd/resnet18-1/metrics.json").unlink()
    card = protocol(tree.load()).set_index("setting")
    assert card.loc["Reported on", "students"] == "test, 12 images"
