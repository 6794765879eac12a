import numpy as np
import pandas as pd
import pytest
from tests.imports import ROOT
from tests.reporting.tree import CLASSES, Tree

from icsd.reporting.dvc_plots import ROWS_PER_CLASS, plot_tables
from icsd.yaml_files import read_yaml


def test_curves_are_means_over_seeds_in_percent(tree: Tree):
    results = tree.load()
    curves = plot_tables(results, focus="aicsd")["curves"]
    assert list(curves["series"].unique()) == ["Student alone", "AICSD"]
    second = curves[(curves["series"] == "AICSD") & (curves["epoch"] == 2)].iloc[0]
    scores = [results.runs["resnet18", "aicsd", seed].history["val/miou"].iloc[1] for seed in (0, 1)]
    assert second["val_miou"] == pytest.approx(100 * np.mean(scores))
    assert curves["val_miou"].isna().any()  # validated every other epoch


def test_networks_are_named_where_there_are_several(tmp_path):
    results = Tree(tmp_path, students=("resnet18", "mobilenetv2")).write().load()
    series = set(plot_tables(results, focus="aicsd")["curves"]["series"])
    assert {"ResNet-18 · AICSD", "MobileNetV2 · AICSD"} <= series


def test_weights_are_those_of_the_focus_as_shares_of_their_full_weight(tree: Tree):
    """Three times the weight of KD, twice that of ICSD: the lines are those of the schedule all the same."""
    for seed in tree.seeds:
        path = tree.folder("runs", "aicsd", "resnet18", seed) / "history.csv"
        history = pd.read_csv(path)
        history["weight/kd"] *= 3
        history["weight/icsd"] *= 2
        history.to_csv(path, index=False)
        method = {"alw": True, "weights": {"icsd": 0.2, "kd": 3.0}}
        tree.edit_training("aicsd", "resnet18", seed, {"params": {"method": method}})
    weights = plot_tables(tree.load(), focus="aicsd")["weights"]
    by_term = weights.pivot(index="epoch", columns="series", values="weight")
    alpha = np.arange(6) / 6
    assert by_term["ce"].tolist() == pytest.approx(alpha)
    assert by_term["icsd"].tolist() == pytest.approx(alpha)
    assert by_term["kd"].tolist() == pytest.approx(1 - alpha)


def test_where_no_full_weight_is_recorded_the_largest_stands_for_it(tree: Tree):
    weights = plot_tables(tree.load(), focus="aicsd")["weights"]
    assert weights.groupby("series")["weight"].max().to_dict() == pytest.approx(
        {"ce": 5 / 6, "kd": 1.0, "icsd": 1.0}
    )


def test_confusion_counts_percent_of_each_true_class(tree: Tree):
    results = tree.load()
    confusion = plot_tables(results, focus="aicsd")["confusion"]
    assert confusion.groupby("actual").size().to_dict() == dict.fromkeys(CLASSES, ROWS_PER_CLASS)
    total = sum(run.confusion.sum(axis=0) for run in results.of("resnet18", "aicsd"))
    hits = 100 * total[0, 0] / total[0].sum()
    found = ((confusion["actual"] == "sky") & (confusion["predicted"] == "sky")).sum()
    assert abs(found - hits) < 1


def test_an_empty_grid_has_the_columns_and_no_rows(tmp_path):
    found = plot_tables(Tree(tmp_path).load(), focus="aicsd")
    assert {name: len(table) for name, table in found.items()} == {"curves": 0, "weights": 0, "confusion": 0}
    assert "val_miou" in found["curves"].columns


def test_every_plot_of_the_pipeline_has_its_table_and_columns(tree: Tree):
    found = plot_tables(tree.load(), focus="aicsd")
    plots = [plot for plot in read_yaml(ROOT / "dvc.yaml")["plots"] if isinstance(plot, dict)]
    assert len(plots) == 5
    for plot in plots:
        (settings,) = plot.values()
        ((path, column),) = settings["y"].items()
        table = found[path.removeprefix("reports/${dataset}/plots/").removesuffix(".csv")]
        assert {settings["x"], column} <= set(table.columns)
        if settings["template"].endswith(".json"):
            assert "series" in table.columns
            assert (ROOT / settings["template"]).is_file()
