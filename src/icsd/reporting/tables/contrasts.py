"""Differences between methods: ``focus`` minus every other method, and all pairs."""

from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from icsd.reporting.differences import Resampled, all_differences
from icsd.reporting.results import ALONE, Results
from icsd.reporting.style import method_label
from icsd.reporting.tables.cells import GAP, Cell, Display, number, span, spread
from icsd.reporting.tables.columns import corrected_p, network, to_display

_NUMBERS = ("delta_mean", "delta_std", "delta_low", "delta_high", "n_pairs", "p", "p_holm")


def rows(results: Results, resampled: Resampled, *, focus: str) -> pd.DataFrame:
    """``focus`` minus every other method except the student alone, per student, in percentage points."""
    others = [name for name in results.methods if name not in (focus, ALONE)]
    pairs = [(focus, other) for other in others if focus in results.methods]
    return _table(results, resampled, pairs)


def all_rows(results: Results, resampled: Resampled) -> pd.DataFrame:
    """All pairs of a student's methods, the later in the grid minus the earlier, in percentage points.

    ``p_holm`` is the same corrected p as in every other table.
    """
    pairs = [(later, earlier) for earlier, later in combinations(results.methods, 2)]
    return _table(results, resampled, pairs)


def _table(results: Results, resampled: Resampled, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    table = []
    for student in results.students:
        differences = all_differences(results, student, resampled)
        table += [
            {"student": student, "method": ours, "reference": theirs, **differences[ours, theirs].columns()}
            for ours, theirs in pairs
        ]
    frame = pd.DataFrame(table, columns=["student", "method", "reference", *_NUMBERS])
    return frame.astype(dict.fromkeys(_NUMBERS, float)).astype({"n_pairs": "Int64"})


def display(table: pd.DataFrame) -> Display:
    """Format the differences."""
    columns = [
        ("Network", network),
        ("Difference", lambda row: Cell(f"{method_label(row['method'])} − {method_label(row['reference'])}")),
        ("Δ mIoU", lambda row: spread(row["delta_mean"], row["delta_std"], signed=True)),
        ("95 % interval", lambda row: span(row["delta_low"], row["delta_high"], signed=True)),
        ("n", lambda row: number(row["n_pairs"], "d") if row["n_pairs"] else Cell(GAP)),
        ("p (Holm)", corrected_p),
    ]
    notes = ["Percentage points, paired by seed; p as in the comparison. Every two methods: differences.csv."]
    return to_display("contrasts", "Differences between methods", table, columns, notes)
