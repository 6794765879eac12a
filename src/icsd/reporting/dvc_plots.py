"""Data of the plots that ``dvc plots`` and the VS Code extension show; dvc.yaml names the columns."""

import numpy as np
import pandas as pd

from icsd.reporting.histories import (
    SIMILARITY_DISTANCE,
    VALIDATION_MIOU,
    histories,
    shown_schedule,
)
from icsd.reporting.results import Results
from icsd.reporting.style import method_label, network_label

CURVES = {
    "val_miou": VALIDATION_MIOU,
    "loss_ce": "loss/ce",
    "loss_total": "loss/total",
    "similarity_distance": SIMILARITY_DISTANCE,
}
ROWS_PER_CLASS = 100


def plot_tables(results: Results, *, focus: str) -> dict[str, pd.DataFrame]:
    """Name -> table, with the same names and columns for every grid, because dvc.yaml is fixed.

    Returns:
        ``curves``: series (method, and network where there are several), epoch, ``val_miou`` (percent) and
        the rest of ``CURVES``, means over seeds. ``weights``: series (term), epoch, ``weight`` ÷ λ, for
        ``focus``, or the first method with changing weights if those of ``focus`` are constant.
        ``confusion``: actual and predicted class, for ``focus`` and the first student, with
        ``ROWS_PER_CLASS`` rows per class, so that DVC's counts are percentages.
    """
    return {
        "curves": _curves(results),
        "weights": _weights(results, focus),
        "confusion": _confusion(results, focus),
    }


def _curves(results: Results) -> pd.DataFrame:
    parts = []
    for student in results.students:
        history = histories(results, student)
        named = history.reindex(columns=["method", "epoch", *CURVES.values()])
        means = named.groupby(["method", "epoch"], sort=False, as_index=False).mean()
        prefix = f"{network_label(student)} · " if len(results.students) > 1 else ""
        means.insert(0, "series", prefix + means["method"].map(method_label))
        parts.append(means.drop(columns="method"))
    table = pd.concat(parts, ignore_index=True).rename(columns={name: key for key, name in CURVES.items()})
    return table.assign(val_miou=100 * table["val_miou"].astype(float))


def _weights(results: Results, focus: str) -> pd.DataFrame:
    columns = ["series", "epoch", "weight"]
    shown = shown_schedule(results, results.students[0], focus)
    if shown is None:
        return pd.DataFrame(columns=columns)
    return shown[1].melt("epoch", var_name="series", value_name="weight")[columns]


def _confusion(results: Results, focus: str) -> pd.DataFrame:
    runs = [run for student in results.students[:1] for run in results.of(student, focus)]
    counts = [run.confusion.sum(axis=0) for run in runs if run.confusion is not None]
    classes = results.classes
    rows: list[tuple[str, str]] = []
    total = np.sum(counts, axis=0) if counts else np.zeros((0, 0))
    for index, row in enumerate(total):
        for other, share in enumerate(_hundredths(row)):
            rows += [(classes[index], classes[other])] * share
    return pd.DataFrame(rows, columns=["actual", "predicted"])


def _hundredths(counts: np.ndarray) -> list[int]:
    """A row's shares in whole percent that add up to 100 (largest remainder method); all 0 if it is empty."""
    if not counts.sum():
        return [0] * len(counts)
    exact = ROWS_PER_CLASS * counts / counts.sum()
    whole = np.floor(exact).astype(int)
    remaining = ROWS_PER_CLASS - int(whole.sum())
    order = np.argsort(-(exact - whole), kind="stable")
    whole[order[:remaining]] += 1
    shares: list[int] = whole.tolist()
    return shares
