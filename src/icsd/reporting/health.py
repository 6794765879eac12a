"""Loss health: what each loss term did to the student, from the gradients compared while training."""

import pandas as pd

from icsd.reporting.results import Results
from icsd.reporting.style import method_label, network_label
from icsd.reporting.tables import histories

NOTHING, EVERYTHING = 0.01, 0.9
"""Shares at which training warns, too."""
OPPOSING = -0.1
"""A term whose gradient's cosine with that of cross-entropy is below this pulls against it."""

COLUMNS = (
    *("student", "method", "term", "n_seeds", "share_mean", "share_min", "share_max"),
    *("cosine_mean", "remark"),
)
SHARE = "health/share/"
"""Prefix of the shares' columns in history.csv."""
_COSINE, _WEIGHT = "health/cosine/", "weight/"


def loss_health(results: Results) -> pd.DataFrame:
    """One row per student, method and loss term; empty where no gradients were compared.

    ``share_mean``, ``share_min``, ``share_max``: the term's share of the gradients in percent, mean over
    seeds, then mean, least and most over epochs. ``cosine_mean``: with the gradient of cross-entropy,
    missing for ``ce``. ``remark``: what to look at, or empty.
    """
    rows = []
    for student in results.students:
        every = histories(results, student)
        for method in results.methods:
            own = every[every["method"] == method].dropna(axis=1, how="all")
            terms = [name.removeprefix(SHARE) for name in own.columns if name.startswith(SHARE)]
            rows += [_row(own, student, method, term) for term in terms]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(
        dict.fromkeys(("share_mean", "share_min", "share_max", "cosine_mean"), float) | {"n_seeds": "Int64"}
    )


def health_sentences(table: pd.DataFrame) -> list[str]:
    """The remarks of :func:`loss_health` as sentences."""
    return [
        f"{method_label(row['method'])}, {network_label(row['student'])}: the term {row['term']} "
        f"{row['remark']} (share of the gradients {share_in_percent(row['share_mean'])}"
        + (f", cosine {row['cosine_mean']:.2f}).".replace("-", "−") if pd.notna(row["cosine_mean"]) else ").")
        for row in table[table["remark"] != ""].to_dict("records")
    ]


def _row(own: pd.DataFrame, student: str, method: str, term: str) -> dict[str, object]:
    share = f"{SHARE}{term}"
    measured = own.dropna(subset=[share])
    by_epoch = 100 * measured.groupby("epoch")[share].mean()
    cosine = own[f"{_COSINE}{term}"].mean() if f"{_COSINE}{term}" in own else float("nan")
    return {
        "student": student,
        "method": method,
        "term": term,
        "n_seeds": measured["seed"].nunique(),
        "share_mean": by_epoch.mean(),
        "share_min": by_epoch.min(),
        "share_max": by_epoch.max(),
        "cosine_mean": cosine,
        "remark": _remark(measured, term, mean=by_epoch.mean() / 100, cosine=cosine),
    }


def _remark(measured: pd.DataFrame, term: str, *, mean: float, cosine: float) -> str:
    """Epochs in which the term's weight is 0 by schedule do not count against it."""
    active = measured.loc[measured[f"{_WEIGHT}{term}"] > 0, f"{SHARE}{term}"]
    if active.empty:
        return "has weight 0"
    remarks = []
    if term != "ce" and active.mean() < NOTHING:
        remarks.append("does nothing")
    if mean > EVERYTHING:
        remarks.append("does everything")
    if cosine < OPPOSING:
        remarks.append("opposes cross-entropy")
    return " and ".join(remarks)


def share_in_percent(share: float) -> str:
    """Whole percents, and one digit of less: what matters is how far below 1 % a share is."""
    return f"{share:.0f} %" if share >= 1 or share == 0 else f"{share:.1g} %"
