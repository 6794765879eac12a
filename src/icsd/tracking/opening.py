"""How a run begins: resumed or made, below the parent run of its execution."""

import os
import re
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from icsd.errors import UserError
from icsd.runs import main_root
from icsd.tracking.base import NullTracker, Tracker
from icsd.tracking.git import GitState, git_state
from icsd.tracking.journal import journal_lock
from icsd.tracking.messages import without_secrets
from icsd.tracking.names import CHILD, PARENT, Tag
from icsd.tracking.run import RunDescription
from icsd.tracking.tracker import MlflowTracker

_LOCK_SECONDS = 60.0


def open_tracker(
    *,
    root: Path,
    experiment: str,
    group: str,
    name: str,
    tags: Mapping[str, str],
    state: Path,
    run_id: str | None = None,
    amend: bool = False,
    enabled: bool = True,
    system_metrics: bool = True,
) -> Tracker:
    """The tracker of one trained network.

    ``state`` identifies the run: a journal there is continued, in the same MLflow run; deleting it begins a
    new one. It must stay until ``deliver_pending`` has returned 0.

    Args:
        root: The repository of the running code (``DVC_ROOT`` decides where the records go).
        experiment: MLflow's experiment: ``experiment_name(dataset)``.
        group: ``group_id(...)``: the run becomes a child of this execution's parent run.
        name: What a person reads in the list of runs, ``aicsd · resnet18 · seed 1``.
        tags: Coordinates of the run, such as ``Tag.METHOD``.
        state: Folder of this run's journal, below ``<root>/.state``.
        run_id: The run to continue, for a ``state`` without journal; a journal of another run is dropped.
        amend: Only add to a run that has ended (as the evaluation does): its status and times stay.
        enabled: False gives a tracker that does nothing and imports nothing.
        system_metrics: Sample processor and memory with each ``log``.

    Raises:
        UserError: Another process is recording into ``state``.
    """
    if not enabled:
        return NullTracker()
    git = git_state(root)
    described = {**_where(root, state, git), **tags}
    given = {key: value for key, value in described.items() if value}
    run = RunDescription(experiment, group, CHILD, name, given, run_id)
    tracker = _open(root, run, state, amend=amend, system_metrics=system_metrics)
    if git.diff and not amend:
        path = state / "git.diff"
        path.write_text(without_secrets(git.diff), encoding="utf-8")
        tracker.artifact(path)
    return tracker


def open_parent(*, root: Path, experiment: str, group: str, enabled: bool = True) -> Tracker:
    """The tracker of an execution's parent run, for the report: summary metrics, tables and figures.

    It may be opened again and again; values that it already has are not recorded twice.
    """
    if not enabled:
        return NullTracker()
    folder = re.sub(r"[^\w\-.]", "_", f"{experiment}-{group}")
    state = main_root(root) / ".state" / "tracking-parents" / folder
    run = RunDescription(experiment, group, PARENT, group, {})
    return _open(root, run, state, amend=False, system_metrics=False)


def _where(root: Path, state: Path, git: GitState) -> dict[str, str]:
    """Tags that say what runs where."""
    stage = os.environ.get("DVC_STAGE", "")
    return {
        Tag.STAGE: stage,
        Tag.DVC_EXPERIMENT: os.environ.get("DVC_EXP_NAME", ""),
        Tag.GIT_COMMIT: git.commit or "",
        Tag.GIT_DIRTY: str(git.dirty).lower() if git.commit else "",
        Tag.JOURNAL: f"{socket.gethostname()}:{os.path.relpath(state.resolve(), main_root(root))}",
        "mlflow.source.git.commit": git.commit or "",
        "mlflow.source.name": stage,
        "mlflow.source.type": "LOCAL",
    }


def _open(
    root: Path, run: RunDescription, state: Path, *, amend: bool, system_metrics: bool
) -> MlflowTracker:
    lock = _acquired(state)
    earlier = RunDescription.load(state)
    if earlier and run.run_id not in (None, earlier.run_id, *earlier.former):
        lock.release()
        shutil.rmtree(state)
        lock, earlier = _acquired(state), None
    current = earlier or run
    current.save(state)
    tracker = MlflowTracker(root, current, state=state, lock=lock, amend=amend, system_metrics=system_metrics)
    tracker.begin(resumed=earlier is not None or run.run_id is not None)
    return tracker


def _acquired(state: Path) -> FileLock:
    lock = journal_lock(state)
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
    except Timeout:
        raise UserError(
            f"another process records a run in {state}; wait until it has ended, or end it"
        ) from None
    return lock
