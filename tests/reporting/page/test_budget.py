"""A comparison under equal time says so, with the epochs of every method."""

from pathlib import Path
from typing import Any

import pytest
from tests.reporting.tree import CLASSES, PALETTE, Tree

from icsd.reporting.page.budget import budget_sentences
from icsd.reporting.report import write_report
from icsd.reporting.tables import cost, protocol


@pytest.fixture
def timed(tmp_path: Path) -> Tree:
    """A grid in which the student alone has six epochs, and AICSD four, which take equally long."""
    tree = Tree(tmp_path).write()
    for seed in tree.seeds:
        training = {"epochs": 4, "budget": "seconds", "pace": 1.5}
        params = {"training": training, "method": {"alw": True, "weights": {"kd": 1.0}}}
        tree.edit_training("aicsd", "resnet18", seed, {"epochs": 4, "params": params})
    return tree


def test_nothing_is_said_of_equal_epochs(tree: Tree):
    results = tree.load()
    assert budget_sentences(results) == []
    assert "Budget" not in set(protocol.rows(results)["setting"])


def test_the_epochs_of_every_method_are_named(timed: Tree):
    [[sentence, how]] = budget_sentences(timed.load())
    assert sentence == (
        "Equal time, not equal epochs: ResNet-18 learns 6 epochs: Student alone; 4: AICSD (× 1.50 a step)."
    )
    assert "the teacher running in every step" in how


def test_the_protocol_names_budget_epochs_and_pace(timed: Tree):
    card: Any = protocol.rows(timed.load()).set_index("setting")["students"]
    assert card["Budget"] == "equal time: the epochs of the student alone, divided by training.pace"
    assert card["Epochs"] == "Student alone: 6; AICSD: 4"
    assert card["training.pace"] == "AICSD: 1.5"


def test_costs_have_the_epochs(timed: Tree):
    table: Any = cost.rows(timed.load()).set_index("method")
    assert dict(table["epochs"]) == {"teacher": 6, "none": 6, "aicsd": 4}
    shown = cost.display(cost.rows(timed.load()))
    column = shown.headers.index("Epochs")
    assert [row[column].text for row in shown.rows] == ["6", "6", "4"]


def test_page_and_readme_say_it_and_curves_of_different_lengths_are_drawn(timed: Tree, tmp_path: Path):
    for seed in timed.seeds:
        folder = timed.folder("runs", "aicsd", "resnet18", seed)
        lines = (folder / "history.csv").read_text().splitlines()
        (folder / "history.csv").write_text("\n".join(lines[:5]) + "\n")
    destination = tmp_path / "report"
    write_report(
        timed.load(),
        destination=destination,
        classes=CLASSES,
        palette=PALETTE,
        resamples=100,
        seed=0,
        rope=0.5,
    )
    for name in ("report.html", "README.md"):
        assert "Equal time, not equal epochs" in (destination / name).read_text(encoding="utf-8")
    assert list(destination.glob("figures/*curves*"))
