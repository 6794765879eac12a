"""Loss health: what each loss term did to the student, from gradients compared during training."""

from dataclasses import replace

import pandas as pd

from icsd.core.health import DOMINANT_SHARE, NEGLIGIBLE_SHARE, in_percent
from icsd.reporting.histories import COSINE, SHARE, WEIGHT, histories
from icsd.reporting.results import Results
from icsd.reporting.style import method_label, network_label
from icsd.reporting.tables.cells import GAP, Cell, Display, number
from icsd.reporting.tables.columns import Column, method, network, to_display

OPPOSING = -0.1
"""A term opposes cross-entropy if the cosine between their gradients is below this."""
COLUMNS = (
    *("student", "method", "term", "n_seeds", "share_mean", "share_min", "share_max"),
    *("cosine_mean", "remark"),
)


def rows(results: Results) -> pd.DataFrame:
    """One row per student, method and loss term; empty if no gradients were compared.

    ``share_mean``, ``share_min``, ``share_max``: the term's share of the gradients in percent, averaged over
    seeds, then mean, minimum and maximum over epochs. ``cosine_mean``: cosine with the gradient of
    cross-entropy, missing for ``ce``. ``remark``: what to look at, or empty.
    """
    table = []
    for student in results.students:
        history = histories(results, student)
        for name in results.methods:
            own = history[history["method"] == name].dropna(axis=1, how="all")
            terms = [column.removeprefix(SHARE) for column in own.columns if column.startswith(SHARE)]
            table += [_row(own, student, name, term) for term in terms]
    return pd.DataFrame(table, columns=list(COLUMNS)).astype(
        dict.fromkeys(("share_mean", "share_min", "share_max", "cosine_mean"), float) | {"n_seeds": "Int64"}
    )


def display(table: pd.DataFrame) -> Display:
    """Format the rows, one per loss term."""
    columns: list[Column] = [
        ("Network", network),
        ("Method", method),
        ("Term", lambda row: Cell(row["term"])),
        ("Share %", lambda row: number(row["share_mean"], ".1f")),
        ("Least", lambda row: number(row["share_min"], ".1f")),
        ("Most", lambda row: number(row["share_max"], ".1f")),
        ("Cosine with CE", lambda row: number(row["cosine_mean"], "+.2f")),
        ("Remark", lambda row: Cell(row["remark"] or GAP)),
    ]
    notes = [
        "Share: gradient norm of the weighted term, over the student's parameters, relative to the sum of "
        "these norms; measured on a few steps of every epoch. Mean over epochs and seeds; least and most of "
        "any epoch.",
        "Cosine: between the gradient of the term and that of cross-entropy; negative if they oppose each "
        "other.",
        "A term with a share below 1 % does nothing, so a comparison says nothing about its method; above "
        "90 %, the labels hardly count. To find suitable weights, use python -m pipeline tune.",
    ]
    table_display = to_display("health", "What each loss term did", table, columns, notes, num_labels=3)
    return replace(table_display, text_columns=("Remark",))


def sentences(table: pd.DataFrame) -> list[str]:
    """The remarks of :func:`rows` as sentences."""
    return [
        f"{method_label(row['method'])}, {network_label(row['student'])}: the term {row['term']} "
        f"{row['remark']} (share of the gradients {in_percent(row['share_mean'] / 100)}"
        + (f", cosine {row['cosine_mean']:.2f}).".replace("-", "−") if pd.notna(row["cosine_mean"]) else ").")
        for row in table[table["remark"] != ""].to_dict("records")
    ]


def _row(own: pd.DataFrame, student: str, name: str, term: str) -> dict[str, object]:
    share = f"{SHARE}{term}"
    measured = own.dropna(subset=[share])
    by_epoch = 100 * measured.groupby("epoch")[share].mean()
    cosine = own[f"{COSINE}{term}"].mean() if f"{COSINE}{term}" in own else float("nan")
    return {
        "student": student,
        "method": name,
        "term": term,
        "n_seeds": measured["seed"].nunique(),
        "share_mean": by_epoch.mean(),
        "share_min": by_epoch.min(),
        "share_max": by_epoch.max(),
        "cosine_mean": cosine,
        "remark": _remark(measured, term, mean=by_epoch.mean() / 100, cosine=cosine),
    }


def _remark(measured: pd.DataFrame, term: str, *, mean: float, cosine: float) -> str:
    """What to look at; epochs in which the schedule sets the weight to 0 do not make a term negligible."""
    active = measured.loc[measured[f"{WEIGHT}{term}"] > 0, f"{SHARE}{term}"]
    if active.empty:
        return "has weight 0"
    remarks = []
    if term != "ce" and active.mean() < NEGLIGIBLE_SHARE:
        remarks.append("does nothing")
    if mean > DOMINANT_SHARE:
        remarks.append("does everything")
    if cosine < OPPOSING:
        remarks.append("opposes cross-entropy")
    return " and ".join(remarks)
