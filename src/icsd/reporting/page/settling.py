"""The sentences after the verdict: how large the difference is, and what would settle the question."""

from typing import Any

import pandas as pd

from icsd.reporting.results import ALONE
from icsd.reporting.statistics.decisions import MOST_SEEDS
from icsd.reporting.statistics.estimates import LEVEL
from icsd.reporting.style import method_label
from icsd.reporting.tables.cells import missing, records, signed, whole_percent

Row = dict[str, Any]


def settling(decisions: pd.DataFrame, student: str, method: str) -> list[str]:
    """How likely the difference of ``method`` is, what could establish it, and how stable the order is.

    Args:
        decisions: From :func:`icsd.reporting.tables.decisions.rows`.
        student: Name of the student network.
        method: The method that the answer's first sentence is about.

    Returns:
        Sentences; none if the method cannot be tested.
    """
    table = decisions[decisions["student"] == student]
    row = next((row for row in records(table) if row["method"] == method), None)
    if row is None or missing(row["prob_positive"]):
        return []
    return [_size(row), _limit(table, row), *_order(table)]


def _size(row: Row) -> str:
    return (
        f"Size: the probability of a gain is {whole_percent(row['prob_positive'])}, of a gain above "
        f"{row['rope']:g} points {whole_percent(row['prob_relevant'])}, and of a difference within "
        f"±{row['rope']:g} points {whole_percent(row['prob_negligible'])}."
    )


def _limit(table: pd.DataFrame, row: Row) -> str:
    seeds, smallest = int(row["n_pairs"]), table["smallest"].median()
    known = (
        f"What would settle it: with {len(table)} methods and {seeds} seeds, differences of less than "
        f"{smallest:.1f} points to the student alone cannot be established"
    )
    if row["p_holm"] < LEVEL:
        return f"{known}; this one is."
    measured = signed(row["delta_mean"])
    if missing(row["seeds_needed"]):
        return f"{known}; on these images, even {MOST_SEEDS} seeds would not establish {measured}."
    return f"{known}; establishing {measured} would need {int(row['seeds_needed'])} seeds."


def _order(table: pd.DataFrame) -> list[str]:
    """The two methods that most often have the highest mean, and in how many resamples."""
    shares = table.sort_values("first_share", ascending=False, kind="stable").head(2)
    if len(table) < 3 or ALONE not in set(table["method"]):
        return []
    first, second = records(shares)
    tau = first["tau_seeds"]
    between = "" if missing(tau) else f"; Kendall's τ between the rankings by two seeds is {signed(tau)}"
    return [
        f"Ranking: {method_label(first['method'])} has the highest mean in "
        f"{whole_percent(first['first_share'])} of resamples, {method_label(second['method'])} in "
        f"{whole_percent(second['first_share'])}{between}."
    ]
