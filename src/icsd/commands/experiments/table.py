"""Formats experiments as a text table for people, and as CSV for programs."""

import csv
import io
import json
from collections.abc import Collection, Mapping, Sequence

from icsd.commands.experiments.reading import Experiment
from icsd.errors import some
from icsd.reporting.results import ALONE
from icsd.reporting.style import method_label, network_label

GAP = "–"
MARK = "≠"
"""Marks a row whose networks differ from the baseline's although their dependencies are equal."""
SHOWN = 4
"""Largest number of networks that a note names."""
_CSV_COLUMNS = (
    *("experiment", "state", "changed", "elsewhere", "dataset", "student", "method"),
    *("miou", "std", "delta", "low", "high"),
)
_LEGEND = (
    "mIoU in %, ± standard deviation over seeds; in brackets the gain over the student alone in\n"
    "points and its 95 % interval. –: no result."
)


def to_text(experiments: Sequence[Experiment], methods: Collection[str] | None) -> str:
    """One line per experiment and one column per student and method; ``methods`` None for all."""
    columns = _columns(experiments, methods)
    several_students = len({student for student, _ in columns}) > 1
    headers = ["Experiment", "State", "Changed", "Dataset", "Teacher"]
    headers += [
        f"{network_label(student)} · {method_label(method)}" if several_students else method_label(method)
        for student, method in columns
    ]
    rows = [headers, *(_row(experiment, columns) for experiment in experiments)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(headers))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    lines.insert(1, "  ".join("─" * width for width in widths))
    notes = [f"{MARK} {_note(experiment)}" for experiment in experiments if experiment.elsewhere]
    errors = [f"{experiment.name}: {experiment.error}" for experiment in experiments if experiment.error]
    return "\n".join([*lines, "", _LEGEND, *notes, *errors]) + "\n"


def _note(experiment: Experiment) -> str:
    networks = some(experiment.elsewhere, len(experiment.elsewhere), most=SHOWN)
    return (
        f"{experiment.name}: trained with another machine, torch or runtime than {experiment.base}: "
        f"{networks}\n  differ, and nothing that they depend on does. No parameter made that difference:\n"
        f"  commit the results of `dvc repro` at {experiment.base} on this machine, and compare with these."
    )


def _columns(experiments: Sequence[Experiment], methods: Collection[str] | None) -> list[tuple[str, str]]:
    """Students and methods of all experiments; per student, the student alone comes first."""
    pairs = dict.fromkeys(pair for experiment in experiments for pair in experiment.scores)
    chosen = [(student, method) for student, method in pairs if methods is None or method in methods]
    return sorted(chosen, key=lambda pair: (pair[0], pair[1] != ALONE))


def _row(experiment: Experiment, columns: Sequence[tuple[str, str]]) -> list[str]:
    return [
        f"{experiment.name} {MARK}" if experiment.elsewhere else experiment.name,
        experiment.state,
        ", ".join(_changes(experiment)) or GAP,
        experiment.dataset or GAP,
        _score(experiment.teacher),
        *(_score(experiment.scores.get(column, {})) for column in columns),
    ]


def _changes(experiment: Experiment) -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in experiment.changed.items()]


def _score(numbers: Mapping[str, float | None]) -> str:
    """``27.00 ± 2.00 (+2.00: −1.00 to +5.00)``, where the numbers are known."""
    miou, std, delta = numbers.get("miou"), numbers.get("std"), numbers.get("delta")
    low, high = numbers.get("low"), numbers.get("high")
    if miou is None:
        return GAP
    text = f"{100 * miou:.2f}"
    if std is not None:
        text += f" ± {100 * std:.2f}"
    if delta is not None:
        interval = f": {100 * low:+.2f} to {100 * high:+.2f}" if low is not None and high is not None else ""
        text += f" ({100 * delta:+.2f}{interval})"
    return text.replace("-", "−")


def to_csv(experiments: Sequence[Experiment], methods: Collection[str] | None) -> str:
    """One row per experiment, student and method, numbers as fractions; one without results has one row."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _CSV_COLUMNS, restval="", lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for experiment in experiments:
        base = {
            "experiment": experiment.name,
            "state": experiment.state,
            "changed": "; ".join(_changes(experiment)),
            "elsewhere": "; ".join(experiment.elsewhere),
            "dataset": experiment.dataset or "",
        }
        rows = [
            {**base, "student": student, "method": method, **numbers}
            for (student, method), numbers in experiment.scores.items()
            if methods is None or method in methods
        ]
        writer.writerows(rows or [base])
    return buffer.getvalue()
