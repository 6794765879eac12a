"""Checks MLflow's store, if it is a local file: undamaged, with every run, curve and file of the results."""

import csv
import math
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from icsd.commands.verify.checks import Check, State, check_of
from icsd.errors import UserError
from icsd.files import sha256_of
from icsd.records import CostRecord, read_record
from icsd.runs import RunKey, main_root
from icsd.stages.recording.evaluation import recorded_run
from icsd.tracking import run_id_of_key
from icsd.tracking.store import local_database, open_client, store_lock

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

_SEND = "`dvc repro -f -s report` sends what is still in .state/"
_LOST = "the files have it; only MLflow does not show it"


def check_store(root: Path, keys: Sequence[RunKey]) -> Iterator[Check]:
    """Check the database, and every network's run, curves and files. A server is not queried."""
    database = local_database(root)
    if database is None:
        return
    if not database.exists():
        yield Check("database", State.MISSING, (f"{_shown(root, database)}: there is no store; {_SEND}",))
        return
    damage = _damage(database)
    shown = _shown(root, database)
    remedy = "stop everything that uses it, put it aside, and let `dvc repro -f -s report` make a new one"
    yield check_of("database", [f"{shown}: {line}; {remedy}" for line in damage], same=f"{shown} is whole")
    if damage:
        return
    with store_lock(root):
        client = open_client(root)
    runs: dict[RunKey, Run] = {}
    absent: list[str] = []
    for key in keys:
        if (root / key.cost).exists():
            try:
                runs[key] = _run_of(client, root, key)
            except UserError as error:
                absent.append(str(error))
    yield check_of("runs", absent, same=f"{len(runs)} networks have their run")
    points = [line for key, run in runs.items() for line in _curve_differences(client, root, key, run)]
    yield check_of("curves", points, same="every point of every history.csv, each once and no other")
    files = [line for key, run in runs.items() for line in _file_differences(root, key, run)]
    yield check_of("artifacts", files, same="every file of every network, byte by byte")


def _shown(root: Path, path: Path) -> str:
    home = main_root(root)
    return path.relative_to(home).as_posix() if path.is_relative_to(home) else str(path)


def _damage(database: Path) -> list[str]:
    """SQLite's findings about the file, which is opened read-only."""
    try:
        with sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True) as connection:
            lines = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
    except sqlite3.Error as error:
        return [f"damaged ({error})"]
    return [] if lines == ["ok"] else [f"damaged ({line})" for line in lines]


def _run_of(client: "MlflowClient", root: Path, key: RunKey) -> "Run":
    """The run that trained a network.

    Raises:
        UserError: It has none, or the store does not know it.
    """
    from mlflow.exceptions import MlflowException

    trained = recorded_run(read_record(root / key.cost, CostRecord))
    run_id = trained.run_id if trained else None
    if trained and run_id is None:
        run_id = run_id_of_key(client, trained.experiment, trained.key)
    if run_id is None:
        raise UserError(f"{key.cost}: this training has not reached MLflow; {_SEND}")
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise UserError(f"{key.cost}: MLflow has no run {run_id}; {_LOST}") from error
    if run.info.lifecycle_stage != "active":
        raise UserError(f"{key.cost}: run {run_id} was deleted in MLflow; {_LOST}")
    return run


def _curve_differences(client: "MlflowClient", root: Path, key: RunKey, run: "Run") -> Iterator[str]:
    history = key.folder / "history.csv"
    if not (root / history).exists():
        return  # reported by the row's checks
    for name, points in _points_of(root / history).items():
        logged = client.get_metric_history(run.info.run_id, name)
        # Before the first epoch the history has no row; the similarity has a point there.
        stored = sorted((point.step, point.value) for point in logged if point.step > 0)
        if not _same_points(points, stored):
            yield (
                f"{history}: {name}: {len(points)} points here, {len(stored)} in MLflow's run "
                f"{run.info.run_id}, not all the same; {_LOST}"
            )


def _points_of(history: Path) -> dict[str, list[tuple[int, float]]]:
    """Column -> the points that were logged; an empty cell is an epoch without this number."""
    points: dict[str, list[tuple[int, float]]] = {}
    with history.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for name, cell in row.items():
                if name != "epoch" and cell:
                    points.setdefault(name, []).append((int(row["epoch"]), float(cell)))
    return points


def _same_points(recorded: list[tuple[int, float]], stored: list[tuple[int, float]]) -> bool:
    return len(recorded) == len(stored) and all(
        step == other and (value == now or (math.isnan(value) and math.isnan(now)))
        for (step, value), (other, now) in zip(recorded, stored, strict=True)
    )


def _file_differences(root: Path, key: RunKey, run: "Run") -> Iterator[str]:
    address = urlsplit(run.info.artifact_uri)
    if address.scheme not in ("", "file"):
        return  # an object store, which is not queried
    place = Path(unquote(address.path))
    for path in sorted((root / key.folder).glob("*")):
        copy = place / path.name
        if not copy.exists():
            yield f"{copy}: missing; copy {key.folder / path.name} there"
        elif sha256_of(copy) != sha256_of(path):
            yield f"{copy}: not {key.folder / path.name}, of which it is a copy; copy it there again"
