"""The method that the report is about, minus every other method."""

from typing import Any

import pandas as pd

from icsd.reporting.differences import Resampled, difference
from icsd.reporting.results import ALONE, Results
from icsd.reporting.statistics.estimates import holm
from icsd.reporting.style import method_label
from icsd.reporting.tables.cells import GAP, Cell, Display, number, span, spread
from icsd.reporting.tables.columns import corrected_p, network, to_display

_NUMBERS = ("delta_mean", "delta_std", "delta_low", "delta_high", "n_pairs", "p", "p_holm")


def rows(results: Results, resampled: Resampled, *, focus: str) -> pd.DataFrame:
    """``focus`` minus every other method, per student, paired by seed; percentage points.

    ``p_holm`` is corrected for the number of other methods.
    """
    table = []
    for student in results.students:
        others = [method for method in results.methods if method not in (focus, ALONE)]
        block: list[dict[str, Any]] = [
            {"student": student, "method": focus, "reference": other}
            | difference(results.of(student, focus), results.of(student, other), resampled)
            for other in others
            if focus in results.methods
        ]
        corrected = holm([row["p"] for row in block])
        table += [row | {"p_holm": p} for row, p in zip(block, corrected, strict=True)]
    frame = pd.DataFrame(table, columns=["student", "method", "reference", *_NUMBERS])
    return frame.astype(dict.fromkeys(_NUMBERS, float)).astype({"n_pairs": "Int64"})


def display(table: pd.DataFrame) -> Display:
    """The differences as people read them."""
    columns = [
        ("Network", network),
        ("Difference", lambda row: Cell(f"{method_label(row['method'])} − {method_label(row['reference'])}")),
        ("Δ mIoU", lambda row: spread(row["delta_mean"], row["delta_std"], signed=True)),
        ("95 % interval", lambda row: span(row["delta_low"], row["delta_high"], signed=True)),
        ("n", lambda row: number(row["n_pairs"], "d") if row["n_pairs"] else Cell(GAP)),
        ("p (Holm)", corrected_p),
    ]
    notes = ["Percentage points, paired by seed."]
    return to_display("contrasts", "Differences between methods", table, columns, notes)
