"""Training histories and scores of single runs, stacked into long tables for figures."""

from collections.abc import Sequence

import pandas as pd

from icsd.records import TrainRecord
from icsd.reporting.results import Results

LOSS, WEIGHT, SHARE, COSINE = "loss/", "weight/", "health/share/", "health/cosine/"
"""Prefixes of the columns that history.csv has for every loss term."""
VALIDATION_MIOU = "val/miou"
SIMILARITY_DISTANCE = "similarity/distance"


def histories(results: Results, student: str) -> pd.DataFrame:
    """All epochs of all runs of one student, with columns method and seed before those of history.csv."""
    parts = []
    for method in results.methods:
        for seed in results.seeds:
            history = results.runs[student, method, seed].history
            if history is not None:
                parts.append(history.assign(method=method, seed=seed))
    table = (
        pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["epoch", "method", "seed"])
    )
    return table[["method", "seed", *(name for name in table.columns if name not in ("method", "seed"))]]


def columns_of(history: pd.DataFrame, prefix: str) -> list[str]:
    """The columns that begin with ``prefix``, such as ``LOSS``, and are not empty."""
    return [name for name in history.columns if name.startswith(prefix) and history[name].notna().any()]


def methods_with_changing_weights(history: pd.DataFrame) -> Sequence[str]:
    """Methods with a loss term whose weight changes during training, in the table's order."""
    names = [name for name in history.columns if name.startswith(WEIGHT)]
    by_method = history.groupby("method", sort=False)[names]
    spread = by_method.max() - by_method.min()
    return [str(method) for method, row in spread.iterrows() if (row.fillna(0) > 0).any()]


def weight_shares(history: pd.DataFrame, training: TrainRecord | None) -> pd.DataFrame:
    """The weight of every loss term in every epoch of one run, as a share of its λ.

    Dividing by λ makes the shares of a growing and a decaying term add up to 1. Cross-entropy has λ = 1; the
    other λ come from the run's record, or, where it has none, are the term's largest weight.

    Args:
        history: History of one run.
        training: Its record.

    Returns:
        Column ``epoch``, and one column per term.
    """
    params = training.params if training else {}
    full = {"ce": 1.0} | dict(params.get("method", {}).get("weights", {}))
    own = params.get("training", {})
    full |= {own["auxiliary_loss"]: own["auxiliary_weight"]} if "auxiliary_loss" in own else {}
    shares = {"epoch": history["epoch"]}
    for name in columns_of(history, WEIGHT):
        term = name.removeprefix(WEIGHT)
        shares[term] = history[name] / (full.get(term) or history[name].abs().max() or 1.0)
    return pd.DataFrame(shares)


def shown_schedule(results: Results, student: str, focus: str) -> tuple[str, pd.DataFrame] | None:
    """Method and ``weight_shares`` of the run whose weights are plotted; None where it has no history.

    It is the first seed of ``focus``, or, if only other methods' weights change, of the first of these.
    """
    history = histories(results, student)
    changing = methods_with_changing_weights(history) if len(history) else []
    method = focus if focus in changing or not changing else changing[0]
    own = history[history["method"] == method]
    if own.empty:
        return None
    seed = int(own["seed"].iloc[0])
    return method, weight_shares(own[own["seed"] == seed], results.runs[student, method, seed].training)


def seed_scores(results: Results) -> pd.DataFrame:
    """The mIoU of every evaluated run: columns student, method, seed and miou (percent)."""
    rows = [
        (run.student, run.method, run.seed, 100 * run.metrics.miou)
        for run in results.evaluated()
        if run.metrics
    ]
    return pd.DataFrame(rows, columns=["student", "method", "seed", "miou"])
