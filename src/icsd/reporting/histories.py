"""Training histories and scores of single runs, stacked into long tables for figures."""

from collections.abc import Sequence

import pandas as pd

from icsd.reporting.results import Results

LOSS, WEIGHT, SHARE, COSINE = "loss/", "weight/", "health/share/", "health/cosine/"
"""Prefixes of the columns of history.csv that there are for every loss term."""
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
    """The columns that begin with ``prefix``, such as ``LOSS``, and hold any value."""
    return [name for name in history.columns if name.startswith(prefix) and history[name].notna().any()]


def methods_with_changing_weights(history: pd.DataFrame) -> Sequence[str]:
    """Methods whose loss terms change their weights while training, in the table's order."""
    names = [name for name in history.columns if name.startswith(WEIGHT)]
    by_method = history.groupby("method", sort=False)[names]
    spread = by_method.max() - by_method.min()
    return [str(method) for method, row in spread.iterrows() if (row.fillna(0) > 0).any()]


def seed_scores(results: Results) -> pd.DataFrame:
    """The mIoU of every run in percent: student, method, seed, miou."""
    rows = [
        (run.student, run.method, run.seed, 100 * run.metrics.miou)
        for run in results.evaluated()
        if run.metrics
    ]
    return pd.DataFrame(rows, columns=["student", "method", "seed", "miou"])
