from typing import Any

import pandas as pd
import pytest
from tests.reporting.tree import Tree

from icsd.reporting import differences
from icsd.reporting.page.settling import settling
from icsd.reporting.tables import comparison, decisions
from icsd.reporting.tables.decisions import display


def of(tree: Tree, rope: float = 0.5) -> pd.DataFrame:
    results = tree.load()
    return decisions.rows(results, differences.resample(results, resamples=200, seed=0), rope=rope)


def by_method(table: pd.DataFrame) -> dict[str, Any]:
    return {row["method"]: row for row in table.to_dict("records")}


@pytest.fixture
def three(tree: Tree) -> Tree:
    tree.methods = ("none", "kd", "aicsd")
    tree.quality["kd"] = 0.605
    for seed in tree.seeds:
        tree.write_run("kd", "resnet18", seed)
    return tree


def test_a_row_has_what_the_comparison_has_and_what_follows_from_it(three: Tree):
    table, results = by_method(of(three)), three.load()
    draws = differences.resample(results, resamples=200, seed=0)
    compared = by_method(comparison.rows(results, draws))
    for name in ("kd", "aicsd"):
        row = table[name]
        for column in ("delta_mean", "delta_std", "delta_low", "delta_high", "n_pairs", "p_holm"):
            assert row[column] == compared[name][column]
        assert row["delta_mean"] > 0
        assert row["prob_positive"] == pytest.approx(100 - 50 * row["p"])
        assert row["prob_positive"] >= row["prob_relevant"]
        assert row["prob_negligible"] >= row["prob_positive"] - row["prob_relevant"] > 0
    assert sum(row["first_share"] for row in table.values()) == pytest.approx(100)
    assert len({row["tau_seeds"] for row in table.values()}) == 1


def test_established_means_that_these_seeds_were_enough(three: Tree):
    three.seeds = (0, 1, 2, 3, 4)
    for method in three.methods:
        for seed in (2, 3, 4):
            three.write_run(method, "resnet18", seed)
    results = three.load()
    found = differences.all_differences(
        results, "resnet18", differences.resample(results, resamples=200, seed=0)
    )
    table, seen = by_method(of(three)), set()
    for name in ("kd", "aicsd"):
        row = table[name]
        enough = not pd.isna(row["seeds_needed"]) and row["seeds_needed"] <= row["n_pairs"]
        assert enough == found[name, "none"].established
        assert enough or abs(row["delta_mean"]) < row["smallest"]
        seen.add(enough)
    assert seen == {True, False}


def test_a_wider_region_of_equivalence_holds_more(three: Tree):
    narrow, wide = by_method(of(three, 0.1))["kd"], by_method(of(three, 5.0))["kd"]
    assert wide["prob_negligible"] > narrow["prob_negligible"]
    assert wide["prob_relevant"] < narrow["prob_relevant"]
    assert display(of(three, 5.0)).headers[5:7] == ("P(Δ > 5) %", "P(|Δ| < 5) %")


def test_the_student_alone_has_its_place_in_the_order_and_no_difference(three: Tree):
    (row,) = of(three).query("method == 'none'").to_dict("records")
    assert pd.isna(row["prob_positive"])
    assert pd.notna(row["first_share"])
    shown = display(of(three))
    assert shown.rows[0][-2].text == "–"
    assert "Kendall's τ between two seeds is" in shown.notes[-1]


@pytest.mark.parametrize(("seeds", "methods"), [((0,), ("none", "aicsd")), ((0, 1, 2), ("aicsd",))])
def test_what_cannot_be_tested_decides_nothing(tree: Tree, seeds: tuple[int, ...], methods: tuple[str, ...]):
    tree.seeds, tree.methods = seeds, methods
    assert of(tree).empty
    assert settling(of(tree), "resnet18", "aicsd") == []


def test_a_method_with_a_gap_is_left_out(three: Tree):
    (three.root / "results/shapes/kd/resnet18-1/metrics.json").unlink()
    assert of(three)["method"].tolist() == ["none", "aicsd"]


ROW = {
    **{"student": "resnet18", "n_pairs": 5, "rope": 0.5, "prob_positive": 97.2, "prob_relevant": 80.4},
    **{"prob_negligible": 0.2, "smallest": 2.0, "tau_seeds": -0.25, "tau_least": -1.0, "delta_mean": 1.25},
}


@pytest.mark.parametrize(
    ("p_holm", "needed", "end"),
    [
        (0.2, 9, "establishing +1.25 would need 9 seeds."),
        (0.2, None, "on these images, even 1000 seeds would not establish +1.25."),
        (0.01, 5, "cannot be established; this one is."),
    ],
)
def test_it_is_said_in_words_what_would_settle_the_question(p_holm: float, needed: int | None, end: str):
    shares = {"kd": 99.7, "aicsd": 0.3, "none": 0.0}
    table = pd.DataFrame(
        [
            ROW | {"method": name, "p_holm": p_holm, "seeds_needed": needed, "first_share": share}
            for name, share in shares.items()
        ]
    )
    size, limit, order = settling(table, "resnet18", "aicsd")
    assert size == (
        "Size: the probability of a gain is 97 %, of a gain above 0.5 points 80 %, and of a difference "
        "within ±0.5 points < 1 %."
    )
    assert "differences of less than 2.0 points to the student alone cannot be established" in limit
    assert limit.endswith(end)
    assert order == (
        "Ranking: KD has the highest mean in > 99 % of resamples, AICSD in < 1 %; "
        "Kendall's τ between the rankings by two seeds is −0.25."
    )
