import json
import shutil
from typing import Any

import pandas as pd
import pytest
from tests.reporting.tree import Tree

from icsd.reporting.page.answer import cost_sentences
from icsd.reporting.tables import cost as cost_table


def edit_costs(tree: Tree, **changes: Any) -> None:
    """Change fields in every run's cost record; a function gets the record and its index."""
    for number, path in enumerate(sorted((tree.root / "costs").rglob("*.json"))):
        record = json.loads(path.read_text())
        own = {name: value(record, number) if callable(value) else value for name, value in changes.items()}
        path.write_text(json.dumps(record | own))


def one_after_another(record: dict[str, Any], number: int) -> str:
    return f"2026-01-01T{number:02d}:00:00+00:00"


def hours_later(record: dict[str, Any], number: int) -> str:
    return f"2026-01-01T{number + 1:02d}:00:00+00:00"


def test_cost_is_relative_to_the_processor_time_of_the_student_alone(tree: Tree):
    table: Any = cost_table.rows(tree.load()).set_index("method")
    assert table.loc["none", "processor_per_epoch"] == pytest.approx(2.0 * 10)
    assert table.loc["aicsd", "processor_per_epoch"] == pytest.approx(1.8 * 12)
    assert table.loc["aicsd", "relative_time"] == pytest.approx(1.08)
    assert table.loc["aicsd", "relative_of"] == "processor"
    assert table.loc["aicsd", "minutes_training"] == pytest.approx(60.5 / 60)
    assert table.loc["aicsd", "flops"] == 123_456_789


def test_trainings_that_ran_side_by_side_are_not_compared_by_the_clock(tree: Tree):
    edit_costs(tree, processor_seconds=None)  # all began and ended together
    table = cost_table.rows(tree.load())
    assert table["n_beside"].tolist() == [1, 2, 2]
    assert table["relative_time"].isna().all()
    assert "not known" in " ".join(cost_table.display(table).notes)
    [[sentence]] = cost_sentences(table, focus="aicsd")
    assert "measured while other trainings ran" in sentence
    assert "times" not in sentence


def test_one_after_another_they_are(tree: Tree):
    edit_costs(tree, processor_seconds=None, started=one_after_another, finished=hours_later)
    table = cost_table.rows(tree.load())
    assert table["n_beside"].tolist() == [0, 0, 0]
    assert table["relative_time"].iloc[-1] == pytest.approx(1.2)
    [[sentence]] = cost_sentences(table, focus="aicsd")
    assert "takes 1.20 times as long as the student alone" in sentence


def test_on_a_gpu_the_clock_counts_whatever_the_processor_did(tree: Tree):
    edit_costs(tree, device="GPU", started=one_after_another, finished=hours_later)
    assert cost_table.rows(tree.load())["relative_of"].iloc[-1] == "clock"
    edit_costs(tree, finished="2026-01-02T00:00:00+00:00")
    assert cost_table.rows(tree.load())["relative_time"].isna().all()


def test_times_of_two_machines_are_not_compared(tree: Tree):
    edit_costs(tree, machine=lambda record, number: f"machine {number // 3}")
    assert cost_table.rows(tree.load())["relative_time"].isna().all()


def test_when_a_run_began_may_be_illegible(tree: Tree):
    edit_costs(tree, started="yesterday", finished="today")
    assert cost_table.rows(tree.load())["n_beside"].tolist() == [0, 0, 0]


def test_what_logits_of_another_run_saved_is_no_merit_of_a_method(tree: Tree):
    for seed in (0, 1):
        path = tree.root / f"costs/shapes/aicsd/resnet18-{seed}.json"
        saved = {
            "cached_epochs": 5,
            "seconds_saved": 0.5 * (60.0 + seed),
            "processor_saved": 0.9 * (60.0 + seed),
        }
        path.write_text(json.dumps(json.loads(path.read_text()) | saved))
    row: Any = cost_table.rows(tree.load()).set_index("method").loc["aicsd"]
    assert row["cached_epochs"] == 5
    assert row["seconds_per_epoch"] == pytest.approx(12.0 * 1.5)
    assert row["images_per_second"] == pytest.approx(48.0 / 1.5)
    assert row["processor_per_epoch"] == pytest.approx(12.0 * (1.8 + 0.9))
    assert row["relative_time"] == pytest.approx(1.2 * (1.8 + 0.9) / 2)
    assert row["minutes_training"] == pytest.approx(60.5 / 60)  # what it took
    [[_, said]] = cost_sentences(cost_table.rows(tree.load()), focus="aicsd")
    assert said.startswith("The first training of a seed runs the teacher, and the others read its logits")


def test_a_missing_cost_leaves_its_row_empty(tree: Tree):
    shutil.rmtree(tree.root / "costs/shapes/none")
    table: Any = cost_table.rows(tree.load()).set_index("method")
    assert table.loc["none", ["seconds_per_epoch", "device"]].isna().all()
    assert pd.isna(table.loc["aicsd", "relative_time"])
