"""The champions as exported files: what the export costs in mIoU, and what it gains in time and size."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icsd.deployed import DeployedStudent, DeploymentRecord, Form
from icsd.reporting.champion import Decision
from icsd.reporting.deployed import Deployed
from icsd.reporting.differences import Resampled
from icsd.reporting.results import ALONE, Results, Run
from icsd.reporting.statistics.intervals import Interval
from icsd.reporting.statistics.one_network import difference, differences_per_class, score
from icsd.reporting.style import method_label, network_label
from icsd.reporting.tables.cells import GAP, Cell, Display, missing, number, records, signed, span
from icsd.reporting.tables.columns import Column, Row, network, text, to_display
from icsd.runs import TEACHER

FORMATS = {"torch": "torch.export", "onnx": "ONNX", "int8": "int8"}
"""Format -> its label."""
OWN = "pytorch"
"""Value of ``form`` for a network in PyTorch, which is not an exported file."""
KEPT, LOST, OPEN = "keeps its mIoU", "loses mIoU", "may lose mIoU"
NAMED = 3
"""Maximum number of classes that are named among those that lose."""

_AGAINST = ("own", "alone", "teacher")
_COLUMNS = (
    *("student", "method", "form", "miou", "miou_low", "miou_high"),
    *(f"{other}_{column}" for other in _AGAINST for column in ("delta", "low", "high")),
    *("p50_ms", "p95_ms", "megabytes", "rope", "verdict", "losing", "timed_on"),
)
_TEXTS = ("student", "method", "form", "verdict", "losing", "timed_on")


def rows(results: Results, deployed: Deployed | None, resampled: Resampled, *, rope: float) -> pd.DataFrame:
    """One row per file and per network that files are compared with; empty if there are no files.

    ``own_delta``, ``alone_delta`` and ``teacher_delta`` are the mIoU minus that of the network from which the
    file was exported, of the student alone with the same seed, and of the teacher; in points, with the ends
    of the paired 95 % interval over the choice of images. Only files have ``verdict`` and ``losing``.
    """
    table: list[dict[str, Any]] = []
    for each in deployed.record.students if deployed else ():
        assert deployed is not None
        run = deployed.runs[each.student]
        measured = _Measured(results, run, resampled)
        for name, form, other in (
            (TEACHER, each.teacher, results.teacher),
            (ALONE, each.alone, measured.alone),
            (each.method, each.own, run),
        ):
            if form is not None and other is not None and other.confusion is not None:
                table.append(_row(each, name, OWN, form) | measured.scores(other.confusion))
        for file in each.files:
            counts = deployed.confusion[each.student, file.format]
            row = _row(each, each.method, file.format, file) | measured.scores(counts) | measured.own(counts)
            verdict = verdict_of(row["own_delta"], row["own_low"], row["own_high"], rope=rope)
            losing = measured.losing(counts) if verdict == LOST else None
            table.append(row | {"rope": rope, "verdict": verdict, "losing": losing})
    frame = pd.DataFrame(table, columns=list(_COLUMNS))
    frame["timed_on"] = _timed_on(deployed.record) if deployed else None
    return frame.astype({name: float for name in _COLUMNS if name not in _TEXTS})


def verdict_of(delta: float, low: float | None, high: float | None, *, rope: float) -> str | None:
    """Classify a file by the interval of its difference to its own network; None without an interval.

    ``KEPT``: all of the interval is above −``rope``. ``LOST``: it is below zero and reaches below −``rope``.
    ``OPEN``: anything else.
    """
    if low is None or high is None or np.isnan(low):
        return None
    if low >= -rope:
        return KEPT
    return LOST if high < 0 else OPEN


def gated(decision: Decision, *, files: pd.DataFrame | None) -> Decision:
    """The decision, turned down unless all files of the new champion were measured and keep their mIoU.

    Args:
        decision: The decision by the networks' own scores.
        files: Rows of one student; None if there are none.
    """
    if decision.method is None:
        return decision
    own = [] if files is None else records(files[_of_files(files) & (files["method"] == decision.method)])
    failing = next((against_its_network(row) for row in own if row["verdict"] != KEPT), None)
    if own and failing is None:
        return decision
    why = failing or "they were not measured."
    name = method_label(decision.method)
    return Decision(
        None, f"{name} does not take over, as deploy.gate asks its files: {why} {decision.reason}"
    )


def display(table: pd.DataFrame) -> Display:
    """Format the rows of files and networks."""
    columns: list[Column] = [
        ("Network", network),
        ("Form", lambda row: Cell(form_label(row))),
        ("mIoU %", lambda row: number(row["miou"], ".2f")),
        ("95 % interval", lambda row: span(row["miou_low"], row["miou_high"])),
        *((f"Δ {title}", _difference(other)) for other, title in zip(_AGAINST, _TITLES, strict=True)),
        ("p50 ms", lambda row: number(row["p50_ms"], ",.2f")),
        ("p95 ms", lambda row: number(row["p95_ms"], ",.2f")),
        ("MB", lambda row: number(row["megabytes"], ",.2f")),
        ("Against its network", lambda row: text(row["verdict"])),
    ]
    return to_display("deployment", "As files", table, columns, [*sentences(table), *_notes(table)])


_TITLES = ("own network", "alone", "teacher")


def _notes(table: pd.DataFrame) -> list[str]:
    where = next(
        (str(row["timed_on"]) for row in records(table) if not missing(row["timed_on"])), "one machine"
    )
    return [
        "Δ: points of mIoU, with the paired 95 % interval over the choice of images. Own network: the same "
        "weights in PyTorch, in 32 bits. These are single networks of one seed: what two methods differ by "
        "is in the comparison.",
        "p50 and p95: median and 95th percentile of the durations of a call on one image, all forms by turns "
        f"({where}); they are never the same twice. MB: the file; of a network in PyTorch, its weights.",
    ]


def _timed_on(record: DeploymentRecord) -> str | None:
    """``AMD EPYC, 1 thread, image of 360 × 480``, as far as it is recorded; None if nothing is."""
    threads = None if record.threads is None else f"{record.threads} thread{'s' * (record.threads != 1)}"
    size = None if record.size is None else f"image of {record.size[0]} × {record.size[1]}"
    return ", ".join(part for part in (record.machine, threads, size) if part) or None


def form_label(row: Row) -> str:
    """``Teacher, PyTorch`` or ``AICSD, int8``."""
    form = "PyTorch" if row["form"] == OWN else FORMATS[row["form"]]
    return f"{method_label(row['method'])}, {form}"


def sentences(table: pd.DataFrame) -> list[str]:
    """One sentence per file about its difference to its own network."""
    return [
        f"{network_label(row['student'])}, {method_label(row['method'])}: {against_its_network(row)}"
        for row in records(table[_of_files(table)])
    ]


def losses(table: pd.DataFrame) -> list[str]:
    """The sentences of the files that lose more than the choice of images explains."""
    return sentences(table[table["verdict"] == LOST])


def against_its_network(row: Row) -> str:
    """State a file's difference to its own network, with its interval and verdict, in a sentence."""
    name = FORMATS[row["form"]]
    delta = f"{signed(row['own_delta'])} points"
    if missing(row["own_low"]):
        return f"{name} has {delta} against its own network; of one image or clip there is no interval."
    delta += f" (95 % interval {signed(row['own_low'])} to {signed(row['own_high'])})"
    rope = f"{row['rope']:g} points (`report.rope`)"
    if row["verdict"] == KEPT:
        return f"{name} {KEPT}: {delta} against its own network, within {rope}."
    if row["verdict"] == OPEN:
        return f"{name} {OPEN}: {delta} against its own network, so more than {rope} cannot be ruled out."
    losing = "" if missing(row["losing"]) else f" The classes that lose most: {row['losing']}."
    return f"{name} loses mIoU, and not by chance: {delta} against its own network.{losing}"


def _of_files(table: pd.DataFrame) -> "pd.Series[bool]":
    return table["form"] != OWN


def _difference(other: str) -> Any:  # noqa: ANN401 - a function from a row to a cell
    def cell(row: Row) -> Cell:
        if missing(row[f"{other}_delta"]):
            return Cell(GAP)
        ends = span(row[f"{other}_low"], row[f"{other}_high"], signed=True).text
        shown = "" if ends == GAP else f" ({ends})"
        return Cell(f"{signed(row[f'{other}_delta'])}{shown}", float(row[f"{other}_delta"]))

    return cell


def _row(deployed: DeployedStudent, method: str, form: str, measured: Form) -> dict[str, Any]:
    times = {"p50_ms": measured.p50_ms, "p95_ms": measured.p95_ms, "megabytes": measured.bytes / 1e6}
    return {"student": deployed.student, "method": method, "form": form} | times


class _Measured:
    """Compares a champion's scores with those of other networks, all on the same resamples of the images."""

    def __init__(self, results: Results, run: Run, resampled: Resampled) -> None:
        assert resampled.weights is not None
        assert run.confusion is not None
        self._own = run.confusion
        self._weights, self._blocks = resampled.weights, resampled.num_blocks
        self._classes = results.classes
        self._teacher = results.teacher.confusion
        self.alone = results.runs.get((run.student, ALONE, run.seed))

    def scores(self, counts: NDArray[np.int64]) -> dict[str, float | None]:
        """The mIoU, and its differences to the student alone and to the teacher."""
        value, ends = score(counts, self._weights, self._blocks)
        alone = self.alone.confusion if self.alone else None
        others = {"alone": alone, "teacher": self._teacher}
        against = [self._against(name, counts, other) for name, other in others.items() if other is not None]
        found = {"miou": value, "miou_low": _low(ends), "miou_high": _high(ends)}
        for each in against:
            found |= each
        return found

    def own(self, counts: NDArray[np.int64]) -> dict[str, float | None]:
        """The difference to the network from which the file was exported."""
        return self._against("own", counts, self._own)

    def losing(self, counts: NDArray[np.int64]) -> str:
        """The classes that lose most, among those whose loss the choice of images does not explain."""
        values, ends = differences_per_class(counts, self._own, self._weights, self._blocks)
        lost = [
            (value, name, end)
            for value, name, end in zip(values, self._classes, ends, strict=True)
            if end is not None and end.high < 0
        ]
        return ", ".join(_shown(each) for each in sorted(lost, key=lambda each: each[0])[:NAMED])

    def _against(
        self, name: str, counts: NDArray[np.int64], other: NDArray[np.int64]
    ) -> dict[str, float | None]:
        if other is counts:  # a network against itself
            return {}
        value, ends = difference(counts, other, self._weights, self._blocks)
        return {f"{name}_delta": value, f"{name}_low": _low(ends), f"{name}_high": _high(ends)}


def _shown(lost: tuple[float, str, Interval]) -> str:
    value, name, ends = lost
    return f"{name} ({signed(value, 1)}, {signed(ends.low, 1)} to {signed(ends.high, 1)})"


def _low(ends: Interval | None) -> float | None:
    return None if ends is None else ends.low


def _high(ends: Interval | None) -> float | None:
    return None if ends is None else ends.high


def flat_numbers(table: pd.DataFrame) -> Iterator[tuple[str, float]]:
    """The files' numbers under their names in MLflow, such as ``deployed/resnet18/int8/own_delta``."""
    columns = [name for name in _COLUMNS if name not in (*_TEXTS, "rope")]
    for row in records(table[_of_files(table)]):
        for name in columns:
            if not missing(row.get(name)):
                yield f"deployed/{row['student']}/{row['form']}/{name}", float(row[name])
