"""Whether a project is as if its pipeline had run once, undisturbed: files, curves, cache, processes."""

import hashlib
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.project import outputs

from icsd.commands.verify.cache import check_cache
from icsd.commands.verify.checks import State
from icsd.commands.verify.store import check_store
from icsd.stages.grid import student_keys, teacher_key
from icsd.stages.validate import checked_params

_ORPHAN_SECONDS = 30
# Times, dates and run ids are never the same twice; the report shows them in these files.
_VOLATILE = ("cost.", "provenance.", "report.html", "README.md", "protocol.")


def faults_of(reference: Path, project: Path) -> list[str]:
    """All differences from the reference, which ran undisturbed."""
    return [
        *_different_outputs(reference, project),
        *_different_runs(reference, project),
        *_damaged_objects(project),
        *_findings(project),
        *_orphans(project),
    ]


def _different_outputs(reference: Path, project: Path) -> Iterator[str]:
    """Differences of outputs: by content if it is reproducible, otherwise by file names."""
    for name in ("data", "runs", "results", "deployed", "reports", "costs"):
        expected, actual = (outputs(root / name) for root in (reference, project))
        yield from (f"{name}/{path}: missing" for path in sorted(expected.keys() - actual.keys()))
        yield from (f"{name}/{path}: should not be there" for path in sorted(actual.keys() - expected.keys()))
        for path in sorted(expected.keys() & actual.keys()):
            volatile = name == "costs" or Path(path).name.startswith(_VOLATILE)
            if not volatile and expected[path] != actual[path]:
                yield f"{name}/{path}: other content"


def _different_runs(reference: Path, project: Path) -> Iterator[str]:
    """Runs, their states, and points of curves: too many, too few, or with other values."""
    for query in (
        "select name, status from runs where lifecycle_stage = 'active'",
        "select name, key, step, is_nan, value from metrics join runs using (run_uuid) "
        "where lifecycle_stage = 'active' and key not like 'system/%'",
    ):
        expected, actual = (_rows(root, query) for root in (reference, project))
        yield from (f"MLflow: {row} missing ({count})" for row, count in (expected - actual).items())
        yield from (
            f"MLflow: {row} should not be there ({count})" for row, count in (actual - expected).items()
        )


def _rows(project: Path, query: str) -> Counter[tuple[object, ...]]:
    with sqlite3.connect(project / "mlflow.db") as connection:
        return Counter(connection.execute(query).fetchall())


def _damaged_objects(project: Path) -> Iterator[str]:
    """Objects of DVC's cache, in use or not, whose content is not what their name says."""
    for path in (project / ".dvc/cache/files/md5").rglob("*"):
        digest = f"{path.parent.name}{path.name.removesuffix('.dir')}"
        if path.is_file() and hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != digest:
            yield f"cache: {path.parent.name}{path.name} is damaged"


def _findings(project: Path) -> Iterator[str]:
    """Findings of ``verify`` about DVC's files and MLflow's store; its rows are compared as outputs above."""
    params = checked_params(project)
    keys = [teacher_key(params), *student_keys(params, params.grid.methods)]
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("DVC_ROOT", raising=False)
        environment.delenv("MLFLOW_TRACKING_URI", raising=False)
        environment.chdir(project)
        for check in (*check_cache(project), *check_store(project, keys)):
            if check.state != State.OK:
                yield from (f"verify: {check.subject}: {line}" for line in check.details)


def _orphans(project: Path) -> list[str]:
    """Processes that still work in the project, after a grace period."""
    deadline = time.monotonic() + _ORPHAN_SECONDS
    while (alive := _processes_in(project)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return [f"still running: {' '.join(process.cmdline())}" for process in alive]


def _processes_in(project: Path) -> list[psutil.Process]:
    alive = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(project):
                alive.append(process)
        except psutil.Error:
            continue
    return alive
