"""Data frames -> tables as people read them: rounded texts, symbols, and notes on what they mean."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from icsd.reporting.style import method_label, network_label
from icsd.runs import TEACHER

GAP = "–"
Row = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """A text, and the number to sort by where it is one."""

    text: str
    value: float | None = None


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


Columns = Sequence[tuple[str, Callable[[Row], Cell]]]


def show_comparison(table: pd.DataFrame) -> Display:
    """The comparison of methods."""
    columns: list[tuple[str, Callable[[Row], Cell]]] = [
        ("Network", _network),
        ("Method", _method),
        ("mIoU %", lambda row: _spread(row["miou_mean"], row["miou_std"])),
        ("95 % interval", lambda row: _range(row["miou_low"], row["miou_high"])),
        ("n", lambda row: _number(row["n_seeds"], "d") if row["n_seeds"] else Cell(GAP)),
        ("Δ alone", lambda row: _spread(row["delta_mean"], row["delta_std"], signed=True)),
        ("95 % interval of Δ", lambda row: _range(row["delta_low"], row["delta_high"], signed=True)),
        ("p (Holm)", _p),
    ]
    notes = [
        "mIoU: mean ± standard deviation over n seeds; every seed is a training of its own.",
        "Δ alone: difference to the same student trained alone, paired by seed, in percentage points.",
        "p: paired t-test over seeds, Holm-corrected for the number of methods; it sees training noise only.",
        *_interval_notes(table),
        "Agreement, KL, ICS distance: pixels on which student and teacher predict the same class, pixel-wise "
        "KL(teacher ‖ student), and distance between their inter-class similarity matrices.",
    ]
    if table["published_miou"].notna().any():
        columns += [
            ("Published mIoU %", lambda row: _spread(row["published_miou"], row["published_std"])),
            ("Published Δ", lambda row: _number(row["published_delta"], "+.2f")),
        ]
        notes += [f"Published: {source}." for source in table["published_source"].dropna().unique()]
    columns += [
        ("Pixel acc. %", lambda row: _number(row["pixel_accuracy"], ".2f")),
        ("Class acc. %", lambda row: _number(row["class_accuracy"], ".2f")),
        ("Agreement %", lambda row: _number(row["agreement_pixels"], ".2f")),
        ("KL", lambda row: _number(row["agreement_kl"], ".4f")),
        ("ICS distance", lambda row: _number(row["agreement_ics_distance"], ".4f")),
        ("Parameters", lambda row: _number(row["parameters"], ",d")),
    ]
    return _display("comparison", "Comparison", table, columns, notes)


def show_contrasts(table: pd.DataFrame) -> Display:
    """One method minus each other."""
    columns: Columns = [
        ("Network", _network),
        ("Difference", lambda row: Cell(f"{method_label(row['method'])} − {method_label(row['reference'])}")),
        ("Δ mIoU", lambda row: _spread(row["delta_mean"], row["delta_std"], signed=True)),
        ("95 % interval", lambda row: _range(row["delta_low"], row["delta_high"], signed=True)),
        ("n", lambda row: _number(row["n_pairs"], "d") if row["n_pairs"] else Cell(GAP)),
        ("p (Holm)", lambda row: _p({**row, "n_seeds": row["n_pairs"]})),
    ]
    return _display(
        "contrasts", "Differences between methods", table, columns, ["Percentage points, paired by seed."]
    )


def show_per_class(table: pd.DataFrame) -> Display:
    """Classes down, methods across, one block per student."""
    teacher = table[table["method"] == TEACHER].set_index("class")["iou_mean"]
    students = table[table["method"] != TEACHER]
    methods = list(students["method"].unique())
    rows = []
    for (student, name), group in students.groupby(["student", "class"], sort=False):
        cells = group.set_index("method")
        rows.append(
            (
                Cell(network_label(str(student))),
                Cell(str(name)),
                _number(teacher.get(name), ".1f"),
                *(
                    _spread(cells["iou_mean"].get(each), cells["iou_std"].get(each), digits=1)
                    for each in methods
                ),
            )
        )
    headers = ("Network", "Class", "Teacher", *(method_label(method) for method in methods))
    notes = ("IoU in percent, mean ± standard deviation over seeds; –: class absent or run missing.",)
    return Display("per_class", "IoU per class", headers, tuple(rows), notes)


def show_cost(table: pd.DataFrame) -> Display:
    """What training and the networks cost."""
    columns: Columns = [
        ("Network", _network),
        ("Method", _method),
        ("Runs", lambda row: _number(row["n_runs"], "d") if row["n_runs"] else Cell(GAP)),
        ("s / epoch", lambda row: _number(row["seconds_per_epoch"], ",.2f")),
        ("× alone", lambda row: _number(row["relative_time"], ".2f")),
        ("Training min", lambda row: _number(row["minutes_training"], ",.1f")),
        ("Images / s", lambda row: _number(row["images_per_second"], ",.1f")),
        ("Peak memory MB", lambda row: _number(row["peak_memory_mb"], ",.0f")),
        ("Extra parameters", lambda row: _number(row["extra_parameters"], ",d")),
        ("Parameters", lambda row: _number(row["parameters"], ",d")),
        ("GFLOPs", lambda row: _number(row["flops"] / 1e9 if pd.notna(row["flops"]) else None, ",.3f")),
        ("Device", lambda row: Cell(row["device"] if pd.notna(row["device"]) else GAP)),
    ]
    notes = [
        "Means over seeds; measured on the machine of the run, so never the same twice.",
        "Extra parameters: adapters that train with the student and are not part of it.",
        "GFLOPs: one forward pass at the evaluation's input size.",
    ]
    return _display("cost", "Cost", table, columns, notes)


def show_published(table: pd.DataFrame) -> Display:
    """Published values of a dataset, comparable or not."""
    columns: Columns = [
        ("Student", lambda row: Cell(f"{network_label(row['student'])} ({row['architecture']})")),
        ("Method", _method),
        ("Metric", lambda row: Cell("mIoU" if row["metric"] == "miou" else "class accuracy")),
        ("%", lambda row: _spread(row["mean"], row["std"])),
        ("Protocol", lambda row: Cell(row["protocol"])),
        ("Source", lambda row: Cell(row["source"])),
    ]
    return _display("published", "Published on this dataset", table, columns, [])


def show_texts(
    name: str, title: str, table: pd.DataFrame, headers: Sequence[str], num_labels: int
) -> Display:
    """A table of texts as they are."""
    records = table.astype(object).where(table.notna(), GAP).to_dict("records")
    rows = tuple(tuple(Cell(str(value)) for value in record.values()) for record in records)
    return Display(name, title, tuple(headers), rows, num_labels=num_labels)


def _display(name: str, title: str, table: pd.DataFrame, columns: Columns, notes: Sequence[str]) -> Display:
    records = table.to_dict("records")
    rows = tuple(
        tuple(show({str(key): value for key, value in row.items()}) for _, show in columns) for row in records
    )
    return Display(name, title, tuple(header for header, _ in columns), rows, tuple(notes))


def _interval_notes(table: pd.DataFrame) -> list[str]:
    kinds = set(table.loc[table["method"] != TEACHER, "interval_over"].dropna())
    common = "95 % interval: bootstrap of per-image confusion matrices, images taken as independent"
    notes = []
    if "images and seeds" in kinds:
        notes.append(
            f"{common}, resampling images and seeds. With few seeds it is narrower than it should be."
        )
    if "images" in kinds:
        notes.append(
            f"{common}. Where n = 1 (and for the teacher) over images only: training noise is not in it."
        )
        notes.append("n = 1: no standard deviation, no test; one training does not tell methods apart.")
    return notes


def _network(row: Row) -> Cell:
    return Cell(network_label(row["student"]))


def _method(row: Row) -> Cell:
    return Cell(method_label(row["method"]))


def _p(row: Row) -> Cell:
    if _missing(row["delta_mean"]):
        return Cell(GAP)
    if row["n_seeds"] == 1:
        return Cell("n = 1, no inference")
    p = row["p_holm"]
    return Cell(GAP) if _missing(p) else Cell("< 0.001" if p < 0.001 else f"{p:.3f}", float(p))


def _number(value: Any, form: str) -> Cell:  # noqa: ANN401 - a number, None, NaN or NA out of a data frame
    if _missing(value):
        return Cell(GAP)
    text = format(int(value) if form.endswith("d") else float(value), form)
    return Cell(text.replace("-", "−"), float(value))


def _spread(mean: Any, std: Any, *, signed: bool = False, digits: int = 2) -> Cell:  # noqa: ANN401 - see _number
    sign = "+" if signed else ""
    shown = _number(mean, f"{sign}.{digits}f")
    return shown if _missing(mean) or _missing(std) else Cell(f"{shown.text} ± {std:.{digits}f}", shown.value)


def _range(low: Any, high: Any, *, signed: bool = False) -> Cell:  # noqa: ANN401 - see _number
    form = "+.2f" if signed else ".2f"
    ends = _number(low, form), _number(high, form)
    return Cell(GAP) if _missing(low) else Cell(f"{ends[0].text} to {ends[1].text}", ends[0].value)


def _missing(value: Any) -> bool:  # noqa: ANN401 - see _number
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
