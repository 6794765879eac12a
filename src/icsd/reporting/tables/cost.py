"""What training and the networks cost; the one table, with provenance, that is never the same twice."""

from typing import Any

import pandas as pd

from icsd.records import CostRecord
from icsd.reporting.results import ALONE, Results, Run
from icsd.reporting.statistics.estimates import mean
from icsd.reporting.tables.cells import GAP, Cell, Display, number
from icsd.reporting.tables.columns import Column, method, network, text, to_display
from icsd.runs import TEACHER


def rows(results: Results) -> pd.DataFrame:
    """Means over seeds, for the teacher and every student and method.

    ``seconds_per_epoch`` and ``images_per_second`` are those of a teacher that runs in every epoch: what its
    logits saved that another run had kept, or cost a run that kept them, is added or taken off. Otherwise a
    method would cost more or less by its place in the order of runs. ``minutes_training`` is what it took.
    ``relative_time``: of an epoch, to that of the same student trained alone.
    """
    table = [_row([results.teacher], results.teacher.student, TEACHER)]
    for student in results.students:
        block = [
            _row([results.runs[student, name, seed] for seed in results.seeds], student, name)
            for name in results.methods
        ]
        alone = next((row["seconds_per_epoch"] for row in block if row["method"] == ALONE), None)
        for row in block:
            seconds = row["seconds_per_epoch"]
            row["relative_time"] = seconds / alone if seconds and alone else None
        table += block
    whole = ("n_runs", "extra_parameters", "parameters", "flops")
    return pd.DataFrame(table).astype(dict.fromkeys(whole, "Int64"))


def display(table: pd.DataFrame) -> Display:
    """Costs as people read them."""
    columns: list[Column] = [
        ("Network", network),
        ("Method", method),
        ("Runs", lambda row: number(row["n_runs"], "d") if row["n_runs"] else Cell(GAP)),
        ("s / epoch", lambda row: number(row["seconds_per_epoch"], ",.2f")),
        ("× alone", lambda row: number(row["relative_time"], ".2f")),
        ("From cache", lambda row: number(row["cached_epochs"] or None, ",.0f")),
        ("Training min", lambda row: number(row["minutes_training"], ",.1f")),
        ("Images / s", lambda row: number(row["images_per_second"], ",.1f")),
        ("Peak memory MB", lambda row: number(row["peak_memory_mb"], ",.0f")),
        ("Extra parameters", lambda row: number(row["extra_parameters"], ",d")),
        ("Parameters", lambda row: number(row["parameters"], ",d")),
        ("GFLOPs", lambda row: number(row["flops"] / 1e9 if pd.notna(row["flops"]) else None, ",.3f")),
        ("Device", lambda row: text(row["device"])),
    ]
    notes = [
        "Means over seeds; measured on the machine of the run, so never the same twice.",
        "From cache: epochs whose logits of the teacher another run of the seed had kept. s / epoch, × alone "
        "and images / s are as if the teacher had run in every epoch; training min is what it took.",
        "Extra parameters: adapters that train with the student and are not part of it.",
        "GFLOPs: one forward pass at the evaluation's input size.",
    ]
    return to_display("cost", "Cost", table, columns, notes)


def _row(runs: list[Run], student: str, name: str) -> dict[str, Any]:
    costs = [run.cost for run in runs if run.cost]
    metrics = next((run.metrics for run in runs if run.metrics), None)
    return {
        "student": student,
        "method": name,
        "n_runs": len(costs),
        "seconds_per_epoch": mean(
            [each.seconds_per_epoch * _live(each) for each in costs if each.seconds_per_epoch is not None]
        ),
        "relative_time": None,
        "cached_epochs": mean([float(each.cached_epochs) for each in costs]),
        "minutes_training": mean([each.seconds_training / 60 for each in costs]),
        "images_per_second": mean(
            [each.images_per_second / _live(each) for each in costs if each.images_per_second is not None]
        ),
        "peak_memory_mb": mean([each.peak_memory_mb for each in costs if each.peak_memory_mb is not None]),
        "extra_parameters": costs[0].extra_parameters if costs else None,
        "parameters": metrics.parameters if metrics else None,
        "flops": metrics.flops if metrics else None,
        "device": ", ".join(sorted({each.device for each in costs})) or None,
        "resumed": sum(each.resumed for each in costs) if costs else None,
    }


def _live(cost: CostRecord) -> float:
    """How many times as long a training would have taken, had the teacher run in every epoch."""
    return 1 + cost.seconds_saved / cost.seconds_training if cost.seconds_training else 1.0
