"""What each part of AICSD is worth: the members of its family, their differences in design, their scores."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from icsd.reporting.results import Results, Run
from icsd.reporting.tables.cells import Display, number, spread
from icsd.reporting.tables.columns import Column, method, network, num_seeds, text, to_display
from icsd.reporting.tables.recipes import FAMILY, kind_of, recipe

_PARTS = ("variant", "rows", "icsd_weight", "kd_weight", "alw_decay", "alw_scope")
_SCORES = ("n_seeds", "miou_mean", "miou_std", "delta_mean", "delta_std", "p_holm")
_AGAINST_KD = ("kd_delta_mean", "kd_delta_std", "kd_p_holm")


def rows(results: Results, comparison: pd.DataFrame) -> pd.DataFrame:
    """One row per student and member of the family; empty with fewer than two members.

    Args:
        results: Results of a grid.
        comparison: From :func:`icsd.reporting.tables.comparison.rows`.
    """
    scores = comparison.set_index(["student", "method"])
    table = []
    for student in results.students:
        for name in results.methods:
            runs = [results.runs[student, name, seed] for seed in results.seeds]
            kind = kind_of(name, runs)
            if kind in FAMILY:
                reached = scores.loc[(student, name), [*_SCORES, *_AGAINST_KD]].to_dict()
                table.append({"student": student, "method": name, "class": kind} | _parts(runs) | reached)
    frame = pd.DataFrame(
        table if len({row["method"] for row in table}) > 1 else [],
        columns=["student", "method", "class", *_PARTS, *_SCORES, *_AGAINST_KD],
    )
    numbers = [name for name in (*_PARTS[2:4], *_SCORES, *_AGAINST_KD) if name != "n_seeds"]
    return frame.astype(dict.fromkeys(numbers, float) | {"n_seeds": "Int64"})


def display(table: pd.DataFrame) -> Display:
    """Format the rows, one per member of the family."""
    columns: list[Column] = [
        ("Network", network),
        ("Method", method),
        ("Variant", lambda row: text(row["variant"])),
        ("Rows", lambda row: text(row["rows"])),
        ("ICSD weight", lambda row: number(row["icsd_weight"], "g")),
        ("KD weight", lambda row: number(row["kd_weight"], "g")),
        ("ALW decay", lambda row: text(row["alw_decay"])),
        ("ALW scope", lambda row: text(row["alw_scope"])),
        ("mIoU %", lambda row: spread(row["miou_mean"], row["miou_std"])),
        ("n", num_seeds),
        ("Δ alone", lambda row: spread(row["delta_mean"], row["delta_std"], signed=True)),
    ]
    if table["kd_delta_mean"].notna().any():
        columns.append(("Δ KD", lambda row: spread(row["kd_delta_mean"], row["kd_delta_std"], signed=True)))
    notes = [
        "Variant: ICSD as defined in the paper, or as released by its authors. Rows: rows of the similarity "
        "matrices, raw or L2-normalised. –: the method has no such part.",
        "Mean ± standard deviation over n seeds; the comparison has intervals and tests of these "
        "differences.",
    ]
    return to_display("ablation", "What each part of AICSD is worth", table, columns, notes)


def _parts(runs: Sequence[Run]) -> dict[str, Any]:
    """The settings in which members differ, from the first run with a training record."""
    training = next((run.training for run in runs if run.training), None)
    if training is None:
        return {}
    own = recipe(runs[0].method, training)
    alw = own.alw or {}
    return {
        "variant": own.options.get("variant"),
        "rows": own.options.get("rows"),
        "icsd_weight": own.weights.get("icsd"),
        "kd_weight": own.weights.get("kd"),
        "alw_decay": alw.get("decay"),
        "alw_scope": alw.get("scope"),
    }
