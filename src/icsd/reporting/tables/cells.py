"""Formatted cells of a table: rounded numbers, spreads, ranges, and a dash for a gap."""

import math
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from icsd.reporting.statistics.estimates import LEVEL

GAP = "–"


@dataclass(frozen=True)
class Cell:
    """A text, the number to sort it by if it is one, and a link."""

    text: str
    value: float | None = None
    link: str | None = None
    """Id of an element of report.html."""


@dataclass(frozen=True)
class Display:
    """A table ready to be written as Markdown, LaTeX or HTML."""

    name: str
    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = field(default=())
    num_labels: int = 2
    """Leading columns that name the row; the others are aligned as numbers."""
    ids: tuple[str | None, ...] = field(default=())
    """Ids of the rows, for links to them; if empty, no row has one."""
    text_columns: tuple[str, ...] = field(default=())
    """Headers of further columns that hold texts, not numbers."""


def number(value: Any, form: str) -> Cell:  # noqa: ANN401 - a number, None, NaN or NA out of a data frame
    """A number in a format specification; one that ends in ``d`` is for integers."""
    if missing(value):
        return Cell(GAP)
    text = format(int(value) if form.endswith("d") else float(value), form)
    return Cell(text.replace("-", "−"), float(value))


def signed(value: float, digits: int = 2) -> str:
    """``+1.20`` or ``−1.20``."""
    return f"{value:+.{digits}f}".replace("-", "−")


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as dictionaries, column name -> value."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def spread(mean: Any, std: Any, *, signed: bool = False, digits: int = 2) -> Cell:  # noqa: ANN401 - see number
    """``mean ± std``, or the mean alone if there is no std."""
    sign = "+" if signed else ""
    cell = number(mean, f"{sign}.{digits}f")
    return cell if missing(mean) or missing(std) else Cell(f"{cell.text} ± {std:.{digits}f}", cell.value)


def span(low: Any, high: Any, *, signed: bool = False) -> Cell:  # noqa: ANN401 - see number
    """``low to high``, sorted by the low end."""
    form = "+.2f" if signed else ".2f"
    ends = number(low, form), number(high, form)
    return Cell(GAP) if missing(low) else Cell(f"{ends[0].text} to {ends[1].text}", ends[0].value)


def p_value(p: float) -> str:
    """``0.042``, or ``< 0.001``; never rounded across the significance level."""
    if p < 0.001:
        return "< 0.001"
    rounded = f"{p:.3f}"
    return rounded if (float(rounded) < LEVEL) == (p < LEVEL) else "0.0499" if p < LEVEL else rounded


def whole_percent(value: float) -> str:
    """A whole percentage; only exact values are shown as 0 % or 100 %."""
    if 0 < value < 0.5:
        return "< 1 %"
    return "> 99 %" if 99.5 <= value < 100 else f"{value:.0f} %"


def missing(value: Any) -> bool:  # noqa: ANN401 - see number
    """Whether a data frame has a gap here: None, NaN or NA."""
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
