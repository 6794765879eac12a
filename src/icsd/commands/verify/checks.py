"""The checks of one row of a report: what determined the network, and the number in the report."""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import to_jsonable_python

from icsd.errors import UserError
from icsd.params import Params
from icsd.records import MetricsRecord, read_record
from icsd.runs import RunKey
from icsd.stages.training.job import student_job, teacher_job

ABSENT = object()
"""Stands for a key that only one of two trees has."""
LISTED = 8
"""How many differences of one check are listed."""


class State(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    DIFFERS = "DIFFERS"
    MISSING = "missing"


@dataclass(frozen=True)
class Check:
    """One check: its subject, its outcome, and what was compared."""

    subject: str
    state: State
    details: tuple[str, ...]


def check_of(subject: str, differences: Sequence[str], *, same: str) -> Check:
    """``DIFFERS`` with the first differences, or ``ok`` with the sentence ``same``."""
    if not differences:
        return Check(subject, State.OK, (same,))
    more = len(differences) - LISTED
    return Check(subject, State.DIFFERS, (*differences[:LISTED], *([f"and {more} more"] if more > 0 else [])))


def differences_of(recorded: Any, now: Any, name: str = "") -> Iterator[str]:  # noqa: ANN401 - any JSON value
    """One line per value that is not the same in two JSON trees, with its dotted name and both values."""
    if isinstance(recorded, list) and isinstance(now, list) and len(recorded) == len(now):
        recorded, now = dict(enumerate(recorded)), dict(enumerate(now))
    if isinstance(recorded, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*recorded, *now]):
            inner = f"{name}.{key}" if name else str(key)
            yield from differences_of(recorded.get(key, ABSENT), now.get(key, ABSENT), inner)
    elif recorded != now:
        yield f"{name}: {_in_words(recorded)} recorded, {_in_words(now)} now"


def _in_words(value: object) -> str:
    if value is ABSENT:
        return "nothing"
    if isinstance(value, str) and len(value) == 64:  # a digest
        return value[:12]
    return json.dumps(value, ensure_ascii=False)


def relative_message(root: Path, error: UserError) -> str:
    """An error's message, with paths relative to the root of the repository."""
    return str(error).replace(f"{root}/", "")


def compare_code(recorded: Mapping[str, str], now: Mapping[str, str]) -> Check:
    """Compare the digests of the source files that determine a network."""
    return check_of("code", list(differences_of(recorded, now)), same=f"{len(now)} source files as they were")


def compare_parameters(params: Params, key: RunKey, recorded: Mapping[str, Any]) -> Check:
    """Compare the parameters that determine a network."""
    job = teacher_job(params) if key.is_teacher else student_job(params, key)
    differences = list(differences_of(recorded, to_jsonable_python(job.numbers)))
    return check_of("parameters", differences, same="params.yaml describes this run")


def compare_data(recorded: str, now: str, damage: Sequence[str]) -> Check:
    """Compare the manifest's digest, and report damage of the shards that it lists."""
    differences = [*differences_of(recorded, now, "manifest.json"), *damage]
    return check_of("data", differences, same=f"manifest {now[:12]}, every shard as it says")


def compare_file(subject: str, now: str | None, recorded: Mapping[str, str | None]) -> Check:
    """Compare a file's digest with the one in every place that records it."""
    differences = [line for place, digest in recorded.items() for line in differences_of(digest, now, place)]
    return check_of(subject, differences, same=f"{_in_words(now)}, as in {', '.join(recorded)}")


def recorded_weights(root: Path, key: RunKey, metrics: MetricsRecord) -> dict[str, str | None]:
    """The digest of a row's weights, by the file that records it."""
    recorded: dict[str, str | None] = {"metrics.json": metrics.weights_sha256}
    table = Path("reports") / key.dataset / "provenance.csv"
    for row in _rows_of(root / table):
        if [row.get(name) for name in ("student", "method", "seed")] == [
            *(key.network, key.method, str(key.seed))
        ]:
            recorded[table.as_posix()] = row.get("weights_sha256")
    return recorded


def compare_report(root: Path, params: Params, key: RunKey) -> Check:
    """Compare the report's mIoU with the mean of the seeds' results, to the digits that the report prints."""
    table = Path("reports") / key.dataset / "comparison.csv"
    seeds = [key.seed] if key.is_teacher else params.grid.seeds
    results = [RunKey(key.dataset, key.method, key.network, seed).results / "metrics.json" for seed in seeds]
    absent = [path for path in (table, *results) if not (root / path).exists()]
    if absent:
        return Check("report", State.MISSING, tuple(path.as_posix() for path in absent))
    mean = float(np.mean([100 * read_record(root / path, MetricsRecord).miou for path in results]))
    printed = [
        row.get("miou_mean") or ""
        for row in _rows_of(root / table)
        if (row.get("student"), row.get("method")) == (key.network, key.method)
    ]
    reported = f"{_number(printed[0]):.6g} %" if printed and printed[0] else "no number"
    over = f"of seed {seeds[0]}" if len(seeds) == 1 else f"over {len(seeds)} seeds"
    same = f"mIoU {reported} {over}, as in {table.as_posix()}"
    if reported == f"{mean:.6g} %":
        return check_of("report", [], same=same)
    return check_of("report", [f"{table}: {reported}; the results {over}: {mean:.6g} %"], same=same)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _rows_of(table: Path) -> list[dict[str, str]]:
    if not table.exists():
        return []
    with table.open(encoding="utf-8", errors="replace", newline="") as file:
        return list(csv.DictReader(line.replace("\0", "") for line in file))
