"""Cost of training and of the networks; like provenance, this table differs between identical runs."""

from collections.abc import Sequence
from datetime import datetime
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

    ``seconds_per_epoch``, ``processor_per_epoch`` and ``images_per_second`` assume that the teacher runs in
    every epoch: the time that cached logits saved a run is added, and the time that a run spent on caching
    them is subtracted. Otherwise a method's cost would depend on its place in the order of runs.
    ``minutes_training`` is the time that all ``epochs`` really took.

    ``relative_time`` is the time of an epoch divided by that of the same student trained alone;
    ``relative_of`` says which time. It is processor time, which hardly depends on other processes, or wall
    clock time where processor time is unknown or another device did the work. Wall clock times are not
    compared if other runs of the table ran at the same time (``n_beside``), and no times between machines.
    """
    beside = _beside([run.cost for run in (results.teacher, *results.runs.values()) if run.cost])
    table = [_row([results.teacher], results.teacher.student, TEACHER, beside)]
    for student in results.students:
        runs = {
            name: [results.runs[student, name, seed] for seed in results.seeds] for name in results.methods
        }
        for name, own in runs.items():
            table.append(_row(own, student, name, beside) | _relative(own, runs.get(ALONE, []), beside))
    whole = ("n_runs", "n_beside", "extra_parameters", "parameters", "flops")
    return pd.DataFrame(table).astype(dict.fromkeys(whole, "Int64"))


def display(table: pd.DataFrame) -> Display:
    """Format the costs."""
    columns: list[Column] = [
        ("Network", network),
        ("Method", method),
        ("Runs", lambda row: number(row["n_runs"], "d") if row["n_runs"] else Cell(GAP)),
        ("Epochs", lambda row: number(row["epochs"], ",g")),
        ("Processor s / epoch", lambda row: number(row["processor_per_epoch"], ",.2f")),
        ("× alone", lambda row: number(row["relative_time"], ".2f")),
        ("s / epoch", lambda row: number(row["seconds_per_epoch"], ",.2f")),
        ("Side by side", lambda row: number(row["n_beside"] or None, "d")),
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
        "Means over seeds, measured on the machine of the run; they differ from one execution to the next.",
        "Side by side: number of runs during which others of this table ran. Their s / epoch, images / s and "
        "minutes depend on these others and should not be compared.",
        _comparison_note(table),
        "From cache: epochs in which the teacher's logits came from another run of the same seed; the first "
        "run of a seed runs the teacher for all. Seconds per epoch, × alone and images / s are as if the "
        "teacher had run in every epoch; training min is the actual time.",
        "Extra parameters: adapters, which train with the student and are not part of it.",
        "GFLOPs: one forward pass at the input size of the evaluation.",
    ]
    return to_display("cost", "Cost", table, columns, notes)


def _comparison_note(table: pd.DataFrame) -> str:
    kinds = set(table["relative_of"].dropna())
    if "processor" in kinds:
        return "× alone: of the processor's time, all cores together, without loader processes."
    if "clock" in kinds:
        return "× alone: of the time on the clock; no run of these had another beside it."
    return (
        "× alone: not known. The processor's time was not recorded, and the clock's cannot be compared "
        "between machines, or between runs that had others beside them."
    )


def _row(runs: Sequence[Run], student: str, name: str, beside: set[int]) -> dict[str, Any]:
    costs = [run.cost for run in runs if run.cost]
    metrics = next((run.metrics for run in runs if run.metrics), None)
    return {
        "student": student,
        "method": name,
        "n_runs": len(costs),
        "n_beside": sum(id(each) in beside for each in costs),
        "seconds_per_epoch": mean([value for each in costs if (value := _seconds(each)) is not None]),
        "processor_per_epoch": mean([value for each in costs if (value := _processor(each)) is not None]),
        "epochs": mean([float(run.training.epochs) for run in runs if run.training]),
        "relative_time": None,
        "relative_of": None,
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


def _relative(runs: Sequence[Run], alone: Sequence[Run], beside: set[int]) -> dict[str, Any]:
    """``relative_time`` and ``relative_of``; empty if no times are comparable."""
    ours, theirs = ([run.cost for run in each if run.cost] for each in (runs, alone))
    both = [*ours, *theirs]
    if not ours or not theirs or len({(each.device, each.machine, each.torch) for each in both}) > 1:
        return {}
    of, known = "processor", [_processor(each) for each in both]
    if ours[0].device != "cpu" or None in known:
        of, known = "clock", [_seconds(each) for each in both]
        if any(id(each) in beside for each in both):
            return {}
    values = [value for value in known if value]
    if len(values) < len(both):
        return {}
    own, base = mean(values[: len(ours)]), mean(values[len(ours) :])
    return {"relative_time": own / base, "relative_of": of} if own and base else {}


def _beside(costs: Sequence[CostRecord]) -> set[int]:
    """``id()`` of the records whose runs overlapped in time with another run."""
    spans = sorted((_moment(each.started), _moment(each.finished), id(each)) for each in costs)
    found: set[int] = set()
    latest, key_of_latest = float("-inf"), 0
    for started, finished, key in spans:
        if started < latest:
            found |= {key, key_of_latest}
        if finished > latest:
            latest, key_of_latest = finished, key
    return found


def _moment(text: str) -> float:
    """Seconds since 1970; infinity for a text that is not a time, so that it overlaps with nothing."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return float("inf")


def _seconds(cost: CostRecord) -> float | None:
    return None if cost.seconds_per_epoch is None else cost.seconds_per_epoch * _live(cost)


def _processor(cost: CostRecord) -> float | None:
    """Processor seconds per epoch, as if the teacher had run in every epoch."""
    if cost.processor_seconds is None or not cost.seconds_per_epoch:
        return None
    epochs = cost.seconds_training / cost.seconds_per_epoch
    return (cost.processor_seconds + cost.processor_saved) / epochs if epochs else None


def _live(cost: CostRecord) -> float:
    """The factor by which training would have taken longer if the teacher had run in every epoch."""
    return 1 + cost.seconds_saved / cost.seconds_training if cost.seconds_training else 1.0
