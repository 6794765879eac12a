from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import StepPatch
from tests.reporting.tree import Tree

from icsd.monitoring import health as training
from icsd.reporting import histories
from icsd.reporting.figures.canvas import to_png
from icsd.reporting.figures.loss_shares import loss_shares, loss_shares_by_epoch, shares_by_epoch
from icsd.reporting.tables import health as health_table


def measure(tree, method, seed, *, shares, cosines, weights=None):
    """Add columns to a written run's history; values by epoch, one value for all of them."""
    path = tree.folder("runs", method, "resnet18", seed) / "history.csv"
    history = pd.read_csv(path)
    for term, values in shares.items():
        history[f"health/share/{term}"] = values
        history[f"weight/{term}"] = (weights or {}).get(term, 1.0)
    for term, values in cosines.items():
        history[f"health/cosine/{term}"] = values
    history.to_csv(path, index=False)


def rows(tree):
    return health_table.rows(tree.load()).set_index("term")


def test_shares_are_means_over_seeds_and_then_over_epochs(tree: Tree):
    rising = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    measure(tree, "aicsd", 0, shares={"ce": 1 - rising, "kd": rising}, cosines={"kd": 0.4})
    measure(tree, "aicsd", 1, shares={"ce": 0.9 - rising, "kd": rising + 0.1}, cosines={"kd": 0.2})
    found = health_table.rows(tree.load())
    assert list(found.columns) == list(health_table.COLUMNS)
    assert found[["student", "method", "term"]].to_numpy().tolist() == [
        ["resnet18", "aicsd", "ce"],
        ["resnet18", "aicsd", "kd"],
    ]
    kd: Any = found.set_index("term").loc["kd"]
    assert kd[["share_mean", "share_min", "share_max", "cosine_mean"]].tolist() == pytest.approx(
        [30, 5, 55, 0.3]
    )
    assert kd["n_seeds"] == 2
    assert np.isnan(found["cosine_mean"].iloc[0])
    assert found["remark"].tolist() == ["", ""]


def test_runs_that_were_not_measured_have_no_rows(tree: Tree):
    found = health_table.rows(tree.load())
    assert (len(found), list(found.columns)) == (0, list(health_table.COLUMNS))
    assert health_table.sentences(found) == []


@pytest.mark.parametrize(
    ("share", "cosine", "kd", "ce"),
    [
        (0.5, 0.0, "", ""),
        (0.5, -0.2, "opposes cross-entropy", ""),
        (0.004, 0.3, "does nothing", "does everything"),
        (0.004, -0.3, "does nothing and opposes cross-entropy", "does everything"),
        (0.95, 0.3, "does everything", ""),
    ],
)
def test_a_remark_says_what_to_look_at(tree: Tree, share, cosine, kd, ce):
    for seed in tree.seeds:
        measure(tree, "aicsd", seed, shares={"ce": 1 - share, "kd": share}, cosines={"kd": cosine})
    assert rows(tree)["remark"].to_dict() == {"ce": ce, "kd": kd}


def test_epochs_without_weight_are_not_held_against_a_term(tree: Tree):
    first = np.array([1.0, 0, 0, 0, 0, 0])
    shares = {"ce": 1 - first, "kd": 0.009 * first, "icsd": 0.991 * first}
    for seed in tree.seeds:
        measure(tree, "aicsd", seed, shares=shares, cosines={}, weights={"kd": 1.0, "icsd": first, "ce": 1.0})
    assert rows(tree).loc[["kd", "icsd"], "remark"].tolist() == ["does nothing", ""]
    for seed in tree.seeds:
        measure(tree, "aicsd", seed, shares=shares, cosines={}, weights={"kd": 0.0, "icsd": first})
    assert rows(tree).loc["kd", "remark"] == "has weight 0"


def test_remarks_are_sentences(tree: Tree):
    for seed in tree.seeds:
        measure(tree, "aicsd", seed, shares={"ce": 0.9954, "kd": 0.0046}, cosines={"kd": -0.25})
    assert health_table.sentences(health_table.rows(tree.load())) == [
        "AICSD, ResNet-18: the term ce does everything (share of the gradients 100 %).",
        "AICSD, ResNet-18: the term kd does nothing and opposes cross-entropy"
        " (share of the gradients 0.46 %, cosine −0.25).",
    ]


@pytest.mark.parametrize("share", [0.0, 0.0099, 0.0101, 0.5, 0.899, 0.901, 1.0])
def test_report_and_training_agree(tree: Tree, share):
    for seed in tree.seeds:
        measure(tree, "aicsd", seed, shares={"ce": 1 - share, "kd": share}, cosines={})
    results = tree.load()
    history = results.runs["resnet18", "aicsd", 0].history
    assert history is not None
    warned = training.health_warnings(
        [{str(key): value for key, value in row.items()} for row in history.to_dict("records")],
        method="aicsd",
    )
    remarks = [f"{term} {remark}" for term, remark in rows(tree)["remark"].items() if remark]
    assert len(warned) == len(remarks)
    assert all(remark in sentence for remark, sentence in zip(remarks, warned, strict=True))


def test_the_figure_stacks_every_measured_method_to_a_hundred_percent(tree: Tree):
    share = np.linspace(0.1, 0.6, tree.epochs)
    for seed in tree.seeds:
        measure(tree, "aicsd", seed, shares={"ce": 1 - share, "kd": share}, cosines={})
    history = histories.histories(tree.load(), "resnet18")
    figure = loss_shares_by_epoch(shares_by_epoch(history), student="resnet18")
    (axis,) = figure.axes
    assert axis.get_title(loc="left") == "AICSD"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ce", "kd"]
    bands: list[Any] = [
        patch.get_data() for patch in axis.patches if isinstance(patch, StepPatch) and patch.get_fill()
    ]
    assert bands[0].values == pytest.approx(100 * (1 - share))
    assert bands[1].values == pytest.approx(np.full(tree.epochs, 100))
    assert bands[1].baseline == pytest.approx(bands[0].values)
    assert to_png(figure, dpi=40)


def test_the_mean_shares_of_every_measured_method_are_one_bar_each(tree: Tree):
    share = np.linspace(0.01, 0.03, tree.epochs)
    for seed in tree.seeds:
        measure(tree, "aicsd", seed, shares={"ce": 1 - share, "kd": share}, cosines={})
    (axis,) = loss_shares(histories.histories(tree.load(), "resnet18"), student="resnet18").axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["AICSD"]
    bars: list[Any] = list(axis.patches)
    assert [bar.get_x() for bar in bars] == [0, pytest.approx(98)]
    assert [bar.get_width() for bar in bars] == [pytest.approx(98), pytest.approx(2)]
    assert [text.get_text() for text in axis.texts] == ["ce 98 %", "kd 2 %"]
    assert axis.texts[1].get_position()[0] > 1  # too small for its part of the bar: beside it


def test_two_measurements_are_no_curve(tree: Tree):
    share = np.full(tree.epochs, np.nan)
    share[[0, -1]] = 0.5
    for seed in tree.seeds:
        measure(tree, "aicsd", seed, shares={"ce": 1 - share, "kd": share}, cosines={})
    history = histories.histories(tree.load(), "resnet18")
    assert shares_by_epoch(history) == {}
    assert len(loss_shares(history, student="resnet18").axes) == 1
