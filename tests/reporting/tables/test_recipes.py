import inspect
import json
import shutil
from typing import Any

import pytest
from tests.reporting.tree import Tree, write_json

from icsd.methods.icsd import ICSD
from icsd.reporting import differences
from icsd.reporting.tables import ablation as ablation_table
from icsd.reporting.tables import comparison as comparison_table
from icsd.reporting.tables import methods as methods_table
from icsd.reporting.tables.recipes import ICSD_DEFAULTS

BLOCKS: dict[str, dict[str, Any]] = {
    "none": {"alw": False, "weights": {}},
    "kd": {"alw": False, "weights": {"kd": 1.0}, "temperature": 2.0},
    "icsd": {"alw": False, "weights": {"icsd": 0.03}},
    "icsd_rows": {"method": "icsd", "alw": False, "weights": {"icsd": 0.03}, "rows": "l2"},
    "aicsd": {"alw": True, "weights": {"icsd": 0.03, "kd": 1.0}, "variant": "released"},
    "at": {"alw": False, "weights": {"at": 1000.0}},
}


@pytest.fixture
def family(tree: Tree) -> Tree:
    shutil.rmtree(tree.root)
    tree.blocks, tree.methods = BLOCKS, tuple(BLOCKS)
    tree.quality |= dict.fromkeys(("kd", "icsd", "icsd_rows", "at"), 0.63)
    return tree.write()


def methods(tree: Tree) -> Any:
    return methods_table.rows(tree.load()).set_index("method")


def ablation(tree: Tree) -> Any:
    results = tree.load()
    draws = differences.resample(results, resamples=50, seed=0)
    return ablation_table.rows(results, comparison_table.rows(results, draws))


def test_every_method_says_what_it_is_made_of(family: Tree):
    table = methods(family)
    assert list(table.index) == list(BLOCKS)
    assert table["class"].tolist() == ["none", "kd", "icsd", "icsd", "aicsd", "at"]
    assert table.loc["aicsd", ["terms", "options", "alw"]].tolist() == [
        "icsd × 0.03, kd × 1",
        "variant released, rows raw",
        "linear, scope paper",
    ]
    assert table.loc["kd", "options"] == "temperature 2"
    assert table.loc["none", ["terms", "options", "alw", "weights_source"]].isna().all()


def test_weights_without_a_source_were_set_by_hand(family: Tree):
    for seed in family.seeds:
        family.edit_training("kd", "resnet18", seed, {"weights_source": "tuned (20 trials on validation)"})
    table = methods(family)
    assert table.loc["kd", "weights_source"] == "tuned (20 trials on validation)"
    assert table.loc["icsd", "weights_source"] == "set by hand"


def test_weights_that_differ_between_students_are_told_apart(family: Tree):
    shutil.rmtree(family.root)
    family.students = ("resnet18", "mobilenetv2")
    family.write()
    for seed in family.seeds:
        params = {"method": {**BLOCKS["kd"], "weights": {"kd": 3.0}}}
        family.edit_training("kd", "mobilenetv2", seed, {"params": params})
    assert methods(family).loc["kd", "terms"] == "ResNet-18: kd × 1; MobileNetV2: kd × 3"


@pytest.mark.parametrize(
    ("alw", "text"),
    [
        ({"decay": "cosine", "scope": "teacher", "power": 2.0}, "cosine, scope teacher"),
        ({"decay": "polynomial", "scope": "paper", "power": 2.0}, "polynomial (power 2), scope paper"),
    ],
)
def test_a_schedule_is_written_with_the_number_it_reads(family: Tree, alw: dict[str, Any], text: str):
    block = {**BLOCKS["aicsd"], "alw": {"scope": alw["scope"]}}
    for seed in family.seeds:
        family.edit_training("aicsd", "resnet18", seed, {"params": {"method": block, "alw": alw}})
    assert methods(family).loc["aicsd", "alw"] == text
    row = ablation(family).set_index("method").loc["aicsd"]
    assert row[["alw_decay", "alw_scope"]].tolist() == [alw["decay"], alw["scope"]]


def test_the_ablation_holds_the_family_and_what_differs_in_it(family: Tree):
    table = ablation(family).set_index("method")
    assert list(table.index) == ["kd", "icsd", "icsd_rows", "aicsd"]
    assert table["rows"].astype(object).where(table["rows"].notna(), None).tolist() == [
        None,
        "raw",
        "l2",
        "raw",
    ]
    assert table.loc["aicsd", "variant"] == "released"
    assert table["kd_weight"].notna().tolist() == [True, False, False, True]
    assert table["alw_decay"].notna().tolist() == [False, False, False, True]
    assert table.loc["aicsd", ["delta_mean", "kd_delta_mean"]].notna().all()


def test_a_member_that_was_not_run_is_a_row_of_gaps(family: Tree):
    for kind in ("runs", "results"):
        shutil.rmtree(family.root / kind / "shapes/icsd")
    row = ablation(family).set_index("method").loc["icsd"]
    assert row["n_seeds"] == 0
    assert row.drop(["student", "class", "n_seeds"]).isna().all()


def test_one_member_is_no_ablation(tree: Tree):
    assert ablation(tree).empty


def test_unwritten_options_are_the_defaults_of_the_class():
    defaults = inspect.signature(ICSD).parameters
    assert {name: defaults[name].default for name in ICSD_DEFAULTS} == ICSD_DEFAULTS


def test_a_record_without_a_source_is_still_read(family: Tree):
    path = family.folder("runs", "kd", "resnet18", 0) / "train.json"
    record = json.loads(path.read_text())
    del record["weights_source"]
    write_json(path, record)
    assert family.load().runs["resnet18", "kd", 0].training is not None
