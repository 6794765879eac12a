"""Turns rows into a display, column by column; has the columns that several tables share."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from icsd.reporting.results import ALONE
from icsd.reporting.style import method_label, network_label
from icsd.reporting.tables.cells import GAP, Cell, Display, missing, number, p_value, records
from icsd.runs import TEACHER

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], Cell]]
"""A header, and a function from a row to its cell in this column."""


def to_display(
    name: str,
    title: str,
    table: pd.DataFrame,
    columns: Sequence[Column],
    notes: Sequence[str] = (),
    *,
    num_labels: int = 2,
) -> Display:
    """Format a table, one line per row.

    Args:
        name: Name of its files.
        title: Its heading.
        table: The rows.
        columns: The columns to show.
        notes: What the columns mean.
        num_labels: Number of leading columns that name the row.
    """
    rows = tuple(tuple(cell(row) for _, cell in columns) for row in records(table))
    return Display(name, title, tuple(header for header, _ in columns), rows, tuple(notes), num_labels)


def texts_display(
    name: str, title: str, table: pd.DataFrame, headers: Sequence[str], *, num_labels: int
) -> Display:
    """Format a table of texts, which are shown as they are."""
    texts = records(table.astype(object).where(table.notna(), GAP))
    rows = tuple(tuple(Cell(str(value)) for value in row.values()) for row in texts)
    return Display(name, title, tuple(headers), rows, num_labels=num_labels)


def by_difference(table: pd.DataFrame) -> pd.DataFrame:
    """Sorted rows: the teacher, then per student the student alone and its methods by falling difference."""
    keys = {
        "student": pd.Series(pd.factorize(table["student"].where(table["method"] != TEACHER, ""))[0]),
        "place": table["method"].map({TEACHER: 0, ALONE: 1}).fillna(2).reset_index(drop=True),
        "delta": -table["delta_mean"].reset_index(drop=True),
    }
    order = pd.DataFrame(keys).sort_values(list(keys), kind="stable", na_position="last").index
    return table.iloc[order]


def network(row: Row) -> Cell:
    """The network's name."""
    return Cell(network_label(row["student"]))


def method(row: Row) -> Cell:
    """The method, with a link to its first run in the provenance table."""
    link = run_id(row["student"], row["method"]) if "student" in row else None
    return Cell(method_label(row["method"]), link=link)


def run_id(student: str, method: str) -> str:
    """Id of the first run of a method in report.html."""
    return f"run-{student}-{method}"


def num_seeds(row: Row) -> Cell:
    """The number of runs behind a mean."""
    return number(row["n_seeds"], "d") if row["n_seeds"] else Cell(GAP)


def corrected_p(row: Row, prefix: str = "") -> Cell:
    """The corrected p of a difference whose columns begin with ``prefix``."""
    if missing(row[f"{prefix}delta_mean"]):
        return Cell(GAP)
    if row[f"{prefix}n_pairs"] == 1:
        return Cell("n = 1, no inference")
    p = row[f"{prefix}p_holm"]
    return Cell(GAP) if missing(p) else Cell(p_value(p), float(p))


def text(value: Any) -> Cell:  # noqa: ANN401 - a text, None, NaN or NA out of a data frame
    """A text, or a gap."""
    return Cell(GAP) if missing(value) else Cell(str(value))
