"""The checks of one row of a report: what it was made of, and its numbers measured again."""

import csv
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from icsd.errors import UserError
from icsd.params import Params
from icsd.records import MetricsRecord, read_record
from icsd.runs import RunKey
from icsd.stages.device import device_name
from icsd.stages.evaluation.run import Bench, arrays_of, measure, open_bench
from icsd.stages.training.run import student_job, teacher_job

ABSENT = object()
SHOWN = 8  # differences that are named one by one


class State(StrEnum):
    """What became of a check."""

    OK = "ok"
    DIFFERS = "DIFFERS"
    MISSING = "missing"


@dataclass(frozen=True)
class Check:
    """One check: what it is about, what became of it, and what was compared."""

    subject: str
    state: State
    details: tuple[str, ...]


def judged(subject: str, found: list[str], *, same: str) -> Check:
    """``DIFFERS`` with what was found, or ``ok`` with ``same`` where nothing was."""
    if not found:
        return Check(subject, State.OK, (same,))
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return Check(subject, State.DIFFERS, (*found[:SHOWN], *more))


def differences(recorded: Any, now: Any, name: str = "") -> Iterator[str]:  # noqa: ANN401 - any JSON value
    """One line per value that is not the same in two JSON trees, with its dotted name and both values."""
    if isinstance(recorded, list) and isinstance(now, list) and len(recorded) == len(now):
        recorded, now = dict(enumerate(recorded)), dict(enumerate(now))
    if isinstance(recorded, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*recorded, *now]):
            inner = f"{name}.{key}" if name else str(key)
            yield from differences(recorded.get(key, ABSENT), now.get(key, ABSENT), inner)
    elif recorded != now:
        yield f"{name}: {_shown(recorded)} recorded, {_shown(now)} now"


def _shown(value: object) -> str:
    if value is ABSENT:
        return "nothing"
    if isinstance(value, str) and len(value) == 64:  # a digest
        return value[:12]
    return json.dumps(value, ensure_ascii=False)


def below(root: Path, error: UserError) -> str:
    """A message about a file, which is called by its place in the repository."""
    return str(error).replace(f"{root}/", "")


def compare_code(recorded: Mapping[str, str], now: Mapping[str, str]) -> Check:
    """The source files that determine a run, by digest."""
    found = list(differences(recorded, now))
    return judged("code", found, same=f"{len(now)} source files as they were")


def compare_parameters(params: Params, key: RunKey, recorded: dict[str, Any]) -> Check:
    """The blocks of params.yaml that determine a run."""
    job = teacher_job(params) if key.is_teacher else student_job(params, key)
    now = json.loads(json.dumps(job.numbers))  # as they would be recorded
    return judged("parameters", list(differences(recorded, now)), same="params.yaml describes this run")


def compare_data(recorded: str, now: str, damaged: list[str]) -> Check:
    """The manifest's digest, and what was found wrong with the shards that it lists."""
    found = [*differences(recorded, now, "manifest.json"), *damaged]
    return judged("data", found, same=f"manifest {now[:12]}, every shard as it says")


def compare_file(subject: str, now: str | None, recorded: Mapping[str, str | None]) -> Check:
    """A file's digest against every place that records it."""
    found = [line for place, digest in recorded.items() for line in differences(digest, now, place)]
    return judged(subject, found, same=f"{_shown(now)}, as in {', '.join(recorded)}")


def weights_recorded(root: Path, key: RunKey, metrics: dict[str, Any]) -> dict[str, str | None]:
    """The digest of a row's weights in every place that records it."""
    recorded: dict[str, str | None] = {"metrics.json": metrics["weights_sha256"]}
    table = Path("reports") / key.dataset / "provenance.csv"
    for row in _rows_of(root / table):
        if (row["student"], row["method"], row["seed"]) == (key.network, key.method, str(key.seed)):
            recorded[table.as_posix()] = row["weights_sha256"]
    return recorded


def compare_report(root: Path, params: Params, key: RunKey) -> Check:
    """The report's mIoU against the mean over the seeds' results, in the digits that the report prints."""
    table = Path("reports") / key.dataset / "comparison.csv"
    seeds = [key.seed] if key.is_teacher else params.grid.seeds
    results = [RunKey(key.dataset, key.method, key.network, seed).results / "metrics.json" for seed in seeds]
    absent = [path for path in (table, *results) if not (root / path).exists()]
    if absent:
        return Check("report", State.MISSING, tuple(path.as_posix() for path in absent))
    mean = float(np.mean([100 * read_record(root / path, MetricsRecord).miou for path in results]))
    printed = [
        row["miou_mean"]
        for row in _rows_of(root / table)
        if (row["student"], row["method"]) == (key.network, key.method)
    ]
    reported = f"{float(printed[0]):.6g} %" if printed and printed[0] else "no number"
    over = f"of seed {seeds[0]}" if len(seeds) == 1 else f"over {len(seeds)} seeds"
    found = [] if reported == f"{mean:.6g} %" else [f"{table}: {reported}; the results {over}: {mean:.6g} %"]
    return judged("report", found, same=f"mIoU {reported} {over}, as in {table.as_posix()}")


def _rows_of(table: Path) -> list[dict[str, str]]:
    if not table.exists():
        return []
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def measure_again(root: Path, params: Params, key: RunKey, recorded: dict[str, Any]) -> Check:
    """The evaluation once more, by the code of the stage, against every number that it stored."""
    try:
        bench = open_bench(root, params, with_teacher=not key.is_teacher)
        found = list(_differing_numbers(root, bench, key, recorded))
    except UserError as error:
        return Check("numbers", State.DIFFERS, (below(root, error),))
    same = (
        f"measured again on {recorded['num_images']} images, every stored number is the same; "
        f"mIoU {100 * recorded['miou']:.6g} %"
    )
    check = judged("numbers", found, same=same)
    return replace(check, details=(*check.details, _machines(root, key, bench))) if found else check


def _differing_numbers(root: Path, bench: Bench, key: RunKey, recorded: dict[str, Any]) -> Iterator[str]:
    measured = measure(bench, key)
    for file, arrays in arrays_of(measured.arrays, bench.split).items():
        stored = _read_arrays(root / key.results / file)
        for name, now in arrays.items():
            yield from _differing_array(f"{file}: {name}", stored.get(name), now)
    digests = ("weights_sha256", "teacher_sha256")  # they have checks of their own
    before, now = (
        {name: value for name, value in scores.items() if name not in digests}
        for scores in (recorded, json.loads(json.dumps(measured.metrics)))
    )
    yield from differences(before, now)


def _differing_array(name: str, stored: NDArray[Any] | None, now: NDArray[Any]) -> Iterator[str]:
    if stored is None or stored.shape != now.shape:
        yield f"{name}: shape {stored.shape if stored is not None else 'unknown'} recorded, {now.shape} now"
    elif stored.dtype.kind == "f":
        if not np.array_equal(stored, now, equal_nan=True):
            yield f"{name}: differs, at most by {np.nanmax(np.abs(stored - now)):.3g}"
    elif not np.array_equal(stored, now):
        yield f"{name}: {_moved(stored, now) if stored.ndim == 3 else 'differs'}"


def _moved(stored: NDArray[np.int64], now: NDArray[np.int64]) -> str:
    """How many pixels are predicted otherwise, as far as confusion matrices can tell."""
    moved = np.abs(stored - now).sum(axis=(1, 2)) / 2  # a pixel leaves one cell and enters another
    return (
        f"at least {np.ceil(moved).sum():,.0f} of {now.sum():,} pixels are predicted otherwise, "
        f"in {np.count_nonzero(moved)} of {len(now)} images"
    )


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays}
    except (BadZipFile, EOFError, ValueError, OSError, zlib.error) as error:
        raise UserError(f"{path.name}: not a readable npz file ({error})") from error


def _machines(root: Path, key: RunKey, bench: Bench) -> str:
    """A different torch or device is the innocent explanation: last digits depend on both."""
    now = f"now torch {torch.__version__} on {device_name(bench.device)}"
    if not (root / key.cost).exists():
        return now
    cost = json.loads((root / key.cost).read_text(encoding="utf-8"))
    return f"trained with torch {cost['torch']} on {cost['device']}, {now}"
