import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tests.reporting.tree import CLASSES, Tree

from icsd.reporting import differences, histories
from icsd.reporting.results import Results
from icsd.reporting.tables import comparison as comparison_table
from icsd.reporting.tables import contrasts as contrasts_table
from icsd.reporting.tables import per_class as per_class_table
from icsd.reporting.tables import protocol as protocol_table
from icsd.reporting.tables import provenance as provenance_table


def comparison(results: Results) -> Any:  # pandas-stubs takes a row of two keys for a scalar
    draws = differences.resample(results, resamples=200, seed=0)
    return comparison_table.rows(results, draws).set_index(["student", "method"])


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
    assert row.drop(["n_seeds", "n_pairs", "kd_n_pairs"]).isna().all()


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


def with_kd(tree: Tree) -> Tree:
    tree.quality["kd"] = 0.7
    tree.methods = ("none", "kd", "aicsd")
    for seed in tree.seeds:
        tree.write_run("kd", "resnet18", seed)
    return tree


def test_differences_to_kd_are_paired_and_corrected_with_all_others(tree: Tree):
    tree.seeds = (0, 1, 2)
    for method in ("none", "aicsd"):
        tree.write_run(method, "resnet18", 2)
    table = comparison(with_kd(tree).load())
    row = table.loc["resnet18", "aicsd"]
    differences = mious(tree, "aicsd") - mious(tree, "kd")
    assert row["kd_delta_mean"] == pytest.approx(differences.mean())
    assert row["kd_delta_low"] < row["kd_delta_mean"] < row["kd_delta_high"]
    assert row["kd_n_pairs"] == 3
    assert stats.ttest_1samp(differences, 0).pvalue < row["kd_p"] <= row["kd_p_holm"]
    assert row["p_holm"] >= row["p"]
    others = table.loc[[("resnet18", "none"), ("resnet18", "kd"), ("resnet50", "teacher")]]
    assert others["kd_delta_mean"].isna().all()


def test_methods_that_no_test_tells_apart_share_a_letter(tree: Tree):
    table = comparison(with_kd(tree).load())
    assert table["group"].isna().tolist() == [True, False, False, False]
    assert set(table.loc["resnet18", "group"]) <= {"a", "b", "ab"}


def test_one_seed_is_in_no_group(tree: Tree):
    tree.seeds = (0,)
    assert comparison(tree.load())["group"].isna().all()


def test_without_the_confusions_of_a_run_there_is_no_interval(tree: Tree):
    (tree.root / "results/shapes/aicsd/resnet18-0/confusion.npz").unlink()
    row = comparison(tree.load()).loc["resnet18", "aicsd"]
    assert row[["miou_low", "miou_high", "delta_low", "delta_high", "interval_over"]].isna().all()
    assert row[["miou_mean", "delta_mean"]].notna().all()
    assert row[["p", "p_holm"]].isna().all()  # the choice of images is not known


def test_one_image_has_no_interval(tmp_path: Path):
    table = comparison(Tree(tmp_path, num_images=1).write().load())
    assert table["miou_low"].isna().all()
    assert table["miou_mean"].notna().all()


def test_published_values_stand_beside_ours_with_their_source(tree: Tree):
    voc = Tree(tree.root, dataset="voc2012", teacher="resnet101", width=1.0).write()
    row = comparison(voc.load()).loc["resnet18", "aicsd"]
    assert (row["published_miou"], row["published_std"]) == (70.03, 0.13)
    assert row["published_delta"] == pytest.approx(2.53)
    assert "2308.04243" in row["published_source"]
    assert "120 epochs, here 6" in row["published_deviations"]
    assert comparison(tree.load())["published_miou"].isna().all()


def test_published_values_of_other_networks_stay_away(tree: Tree):
    narrow = Tree(tree.root, dataset="voc2012", teacher="resnet101", width=0.5).write()
    assert comparison(narrow.load())["published_miou"].isna().all()


def test_contrasts_take_the_focus_minus_every_other_method(tree: Tree):
    results = with_kd(tree).load()
    table = contrasts_table.rows(results, differences.resample(results, resamples=100, seed=0), focus="aicsd")
    assert table[["method", "reference"]].to_numpy().tolist() == [["aicsd", "kd"]]
    assert table["delta_mean"].tolist() == [pytest.approx((mious(tree, "aicsd") - mious(tree, "kd")).mean())]


def test_per_class_means_leave_absent_classes_empty(tree: Tree):
    for seed in tree.seeds:
        path = tree.root / f"results/shapes/none/resnet18-{seed}/metrics.json"
        iou = json.loads(path.read_text())["iou_per_class"]
        tree.edit_metrics("none", "resnet18", seed, {"iou_per_class": [None, 0.5 + 0.1 * seed, *iou[2:]]})
    table = per_class_table.rows(tree.load())
    alone: Any = table[(table["method"] == "none")].set_index("class")
    assert list(alone.index) == list(CLASSES)
    assert alone.loc["road", ["iou_mean", "iou_std"]].tolist() == [
        pytest.approx(55),
        pytest.approx(7.0710678),
    ]
    assert pd.isna(alone.loc["sky", "iou_mean"])
    assert alone.loc["sky", "n_seeds"] == 0


def test_provenance_names_run_commit_and_weights(tree: Tree):
    row = provenance_table.rows(tree.load()).iloc[-1]
    assert (row["method"], row["seed"]) == ("aicsd", 1)
    assert row["mlflow_run_id"] == "run-aicsd-resnet18-1"
    assert row["git_commit"] == "0123456789ab"
    assert len(row["weights_sha256"]) == 64


def test_histories_are_stacked_with_method_and_seed(tree: Tree):
    table = histories.histories(tree.load(), "resnet18")
    assert table.groupby(["method", "seed"]).size().tolist() == [6, 6, 6, 6]
    assert table.loc[table["method"] == "none", "loss/icsd"].isna().all()


def test_the_protocol_says_what_was_trained_and_where_methods_differ(tree: Tree):
    card: Any = protocol_table.rows(tree.load()).set_index("setting")
    assert card.loc["Reported on", "students"] == "test, 12 images"
    assert card.loc["Network"].tolist() == [
        "DeepLabV3+, ResNet-50, width 0.25",
        "DeepLabV3+, ResNet-18, width 0.25",
    ]
    assert card.loc["Seeds", "students"] == "0, 1"
    assert card.loc["Initial weights", "students"] == "from scratch"
    assert card.loc["train.lr", "students"] == "0.05"
    assert card.loc["method.alw", "students"] == "Student alone: false; AICSD: true"


def test_the_protocol_says_how_images_come_to_their_size(tree: Tree):
    for method in tree.methods:
        for seed in tree.seeds:
            images = {"input_scale": 0.5, "scale": [0.5, 2.0]}
            tree.edit_training(method, "resnet18", seed, {"params": {"images": images}})
    card = protocol_table.rows(tree.load()).set_index("setting")["students"]
    assert card["Resizing"].startswith(
        "images × 0.5 (bilinear, antialiased); predictions upsampled to labels"
    )
    assert card["Random scaling"].startswith("× 0.5 to 2 before the crop")
    assert card["Classes"].startswith("9: 0 sky, 1 road, 2 tree")


def test_the_protocol_says_where_weights_come_from(tree: Tree):
    block = {"alw": True, "weights": {"kd": 1.0}}
    for seed in tree.seeds:
        changes: dict[str, object] = {"params": {"method": block}, "weights_source": "published"}
        tree.edit_training("aicsd", "resnet18", seed, changes)
    assert (
        protocol_table.rows(tree.load()).set_index("setting").loc["Weights of loss terms", "students"]
        == "published"
    )


def test_the_protocol_ignores_runs_that_are_missing(tree: Tree):
    (tree.root / "results/shapes/aicsd/resnet18-1/metrics.json").unlink()
    card: Any = protocol_table.rows(tree.load()).set_index("setting")
    assert card.loc["Reported on", "students"] == "test, 12 images"
