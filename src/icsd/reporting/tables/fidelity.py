"""The fidelity ledger: how each method is defined here, how released code differs, and what that is worth.

fidelity.yaml holds the facts about the methods; the effect of a difference in points comes from the results.
"""

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pandas as pd

from icsd.reporting.differences import Difference, Resampled, all_differences
from icsd.reporting.results import Results
from icsd.reporting.style import method_label, network_label
from icsd.reporting.tables.cells import GAP, Display, p_value, signed
from icsd.reporting.tables.columns import texts_display
from icsd.yaml_files import read_yaml

HEADERS = ("Method", "Paper", "Equation", "Reading taken", "Released code", "Left out", "What it is worth")
NOTES = (
    "Released code: what the authors' published code does differently, according to its source; a number in "
    "brackets is our confidence in a statement that is not certain.",
    "What it is worth: difference in mIoU between the two forms in this report, paired by seed; p corrected "
    "for all pairs, as in the comparison.",
)
NOT_MEASURED = "not measured here"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The facts about one method."""

    paper: str
    equation: str
    reading: str
    released: list[str]
    left_out: str = GAP
    measured: list[list[str]] = field(default_factory=list)
    """Pairs of method names in a grid; the first minus the second is the effect of a deviation."""
    blocks: list[str] = field(default_factory=list)
    """Shell patterns of method names in a grid; if empty, ``name`` and ``name_*`` of the method itself."""


@cache
def entries() -> dict[str, Entry]:
    """Method -> the facts about it, in the order of the ledger."""
    known = read_yaml(Path(__file__).with_name("fidelity.yaml"))
    return {str(name): Entry(**entry) for name, entry in known.items()}


def rows(results: Results, resampled: Resampled) -> pd.DataFrame:
    """One row of texts per method of which the grid has any variant.

    Columns: method, paper, equation, reading, released, left_out, worth.
    """
    differences = worth(results, resampled)
    table = [
        {
            "method": method_label(name),
            "paper": entry.paper,
            "equation": entry.equation,
            "reading": entry.reading,
            "released": "; ".join(entry.released),
            "left_out": entry.left_out,
            "worth": _in_words(differences[differences["method"] == name], results.dataset),
        }
        for name, entry in _in_grid(results).items()
    ]
    columns = ["method", "paper", "equation", "reading", "released", "left_out", "worth"]
    return pd.DataFrame(table, columns=columns)


def display(table: pd.DataFrame) -> Display:
    """Format the ledger."""
    texts = texts_display("fidelity", "Fidelity ledger", table, HEADERS, num_labels=len(HEADERS))
    return replace(texts, notes=NOTES)


def worth(results: Results, resampled: Resampled) -> pd.DataFrame:
    """The effect of each deviation, where both sides were trained, in points of mIoU, paired by seed.

    Columns: method, first, second, student, and those of the difference, first minus second.
    """
    differences = {student: all_differences(results, student, resampled) for student in results.students}
    table = [
        {"method": name, "first": first, "second": second, "student": student, **difference.columns()}
        for name, entry in _in_grid(results).items()
        for first, second in entry.measured
        for student in results.students
        if (difference := differences[student].get((first, second), Difference())).n_pairs
    ]
    columns = ["method", "first", "second", "student", *Difference().columns()]
    numbers = dict.fromkeys(columns[4:], float)
    return pd.DataFrame(table, columns=columns).astype(numbers).astype({"n_pairs": "Int64"})


def _in_grid(results: Results) -> dict[str, Entry]:
    """The entries of methods that occur in the grid, by their names there or in the runs' records."""
    records = [run.training.params.get("method", {}) for run in results.runs.values() if run.training]
    kinds = {str(record["method"]) for record in records if "method" in record}

    def wanted(name: str, entry: Entry) -> bool:
        patterns = entry.blocks or (name, f"{name}_*")
        named = any(fnmatchcase(method, pattern) for method in results.methods for pattern in patterns)
        return named or (name in kinds and not entry.blocks)

    return {name: entry for name, entry in entries().items() if wanted(name, entry)}


def _in_words(table: pd.DataFrame, dataset: str) -> str:
    """``KD − KD (alw): +1.20 ± 0.40 points, ResNet-18 on camvid (3 seeds, p = 0.03)``, one after another."""
    texts = []
    for row in table.to_dict("records"):
        spread: str = "" if pd.isna(row["delta_std"]) else f" ± {row['delta_std']:.2f}"
        points = signed(row["delta_mean"]) + spread
        where = f"{network_label(row['student'])} on {dataset}"
        names = f"{method_label(row['first'])} − {method_label(row['second'])}"
        texts.append(f"{names}: {points} points, {where} ({_sureness(row['n_pairs'], row['p_holm'])})")
    return "; ".join(texts) or NOT_MEASURED


def _sureness(num_pairs: int, p: float) -> str:
    if num_pairs == 1:
        return "1 seed, no inference"
    if pd.isna(p):
        return f"{num_pairs} seeds, not testable"
    return f"{num_pairs} seeds, corrected p {p_value(p)}"
