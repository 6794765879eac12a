"""Result files with any content: the report is made, or one message names the problem."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.reporting.tree import Tree

from icsd.errors import UserError
from icsd.reporting import differences
from icsd.reporting.reading import read_panels
from icsd.reporting.report import table_rows

VALUES: list[Any] = [
    *(None, 5, -1, 0.5, "x", [], {}, [1, 2], {"a": 1}, True, 1e308, "0" * 64, [None], [[]], {"": None})
]
CELLS = ["", "x", "nan", "inf", "-1", "1e400", "5,5", "\0", '"']


def places(tree, path=()):
    """The paths of all values in a JSON tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def damage_json(path, rng):
    tree = inner = json.loads(path.read_text())
    *way, last = rng.choice(list(places(tree)))
    for key in way:
        inner = inner[key]
    inner[last] = rng.choice(VALUES)
    path.write_text(json.dumps(tree))


def damage_csv(path, rng):
    rows = [line.split(",") for line in path.read_text().splitlines()]
    row = rng.choice(rows)
    row[rng.randrange(len(row))] = rng.choice(CELLS)
    path.write_text("\n".join(",".join(row) for row in rows))


def damage_npz(path, rng):
    with np.load(path) as stored:
        arrays = dict(stored)
    name = rng.choice(list(arrays))
    array = arrays[name]
    others = [array.astype(str), array[:1], array.reshape(-1), np.array(5), np.zeros(0), np.array([b"x"])]
    arrays[name] = rng.choice(others)
    np.savez(path, **arrays)


DAMAGE = {".json": damage_json, ".csv": damage_csv, ".npz": damage_npz}


def read_all(tree: Tree) -> None:
    results = tree.load()
    for run in (results.teacher, *results.runs.values()):
        if run.panels:
            read_panels(run.panels)
    table_rows(results, differences.resample(results, resamples=5, seed=0), focus="aicsd", rope=0.5)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numbers that are damaged and still numbers
@pytest.mark.parametrize("ending", DAMAGE)
def test_a_damaged_file_is_named_or_does_no_harm(tree: Tree, ending: str):
    rng, messages = random.Random(0), []
    files = sorted(
        path for path in tree.root.rglob(f"*{ending}") if "aicsd" in str(path) or "teacher" in str(path)
    )
    for _ in range(15):
        path: Path = rng.choice(files)
        content = path.read_bytes()
        DAMAGE[ending](path, rng)
        try:
            read_all(tree)
        except UserError as error:
            messages.append((str(path.relative_to(tree.root)), str(error)))
        path.write_bytes(content)
    assert len(messages) > 3
    # Other images than everybody else's are no fault of one file.
    assert all(path in message or "other images" in message for path, message in messages)
