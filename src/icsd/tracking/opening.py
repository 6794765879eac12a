"""Opens a run, resumed or new, below the parent run of its execution."""

import os
import re
import shutil
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from filelock import Timeout

from icsd.runs import main_root
from icsd.tracking.base import NullTracker
from icsd.tracking.git import GitState, git_state
from icsd.tracking.journal import Journal, is_waiting, journal_lock
from icsd.tracking.lines import free_name
from icsd.tracking.messages import log, without_secrets
from icsd.tracking.names import CHILD, PARENT, Tag
from icsd.tracking.run import RunDescription
from icsd.tracking.tracker import MlflowTracker, Tracker

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
    key: str | None = None,
    amend: bool = False,
    enabled: bool = True,
    system_metrics: bool = True,
) -> Tracker:
    """Open the tracker of one trained network.

    ``state`` identifies the run: a journal there is continued, in the same MLflow run; deleting it starts a
    new run. It must stay until ``deliver_pending`` has returned 0.

    Args:
        root: The repository of the running code (``DVC_ROOT`` decides where the records go).
        experiment: MLflow's experiment: ``experiment_name(dataset)``.
        group: ``group_id(...)``: the run becomes a child of this execution's parent run.
        name: Name in MLflow's list of runs, such as ``aicsd · resnet18 · seed 1``.
        tags: Tags that identify the run, such as ``Tag.METHOD``.
        state: Folder of this run's journal, below ``<root>/.state``.
        run_id: The run to continue if ``state`` has no journal of it; a journal of another run is moved away.
        key: The run's key, for a run to continue whose id is not known yet.
        amend: Only add to a run that has ended (as the evaluation does): its status and times stay.
        enabled: False gives a tracker that does nothing and imports nothing.
        system_metrics: Sample processor and memory with each ``log``.
    """
    if not enabled:
        return NullTracker()
    git = git_state(root)
    described = {**_where(root, state, git), **tags}
    given = {key: value for key, value in described.items() if value}
    run = RunDescription(experiment, group, CHILD, name, given, run_id)
    if key is not None:
        run.key = key
    tracker = _open(root, run, state, key=key, amend=amend, system_metrics=system_metrics)
    if git.diff and not amend:
        tracker.text(without_secrets(git.diff), "git.diff")
    return tracker


def open_parent(*, root: Path, experiment: str, group: str, enabled: bool = True) -> Tracker:
    """Open the tracker of an execution's parent run, for the report: summary metrics, tables and figures.

    It may be opened repeatedly; values that it already has are not recorded twice.
    """
    if not enabled:
        return NullTracker()
    folder = re.sub(r"[^\w\-.]", "_", f"{experiment}-{group}")
    state = main_root(root) / ".state" / "tracking-parents" / folder
    run = RunDescription(experiment, group, PARENT, group, {})
    return _open(root, run, state)


def _where(root: Path, state: Path, git: GitState) -> dict[str, str]:
    """Tags for the stage, the code and the journal of a run."""
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
    root: Path,
    run: RunDescription,
    state: Path,
    *,
    key: str | None = None,
    amend: bool = False,
    system_metrics: bool = False,
) -> Tracker:
    """The tracker of a run; a ``NullTracker`` if its files cannot be used."""
    lock = None
    try:
        lock = journal_lock(state)
        lock.acquire(timeout=_LOCK_SECONDS)
        journal = Journal(state)
        earlier = RunDescription.of(journal)
        if earlier and (run.run_id or key) and not _is_same(earlier, run):
            _step_aside(state)
            lock.release()
            lock = journal_lock(state)
            lock.acquire(timeout=_LOCK_SECONDS)
            journal, earlier = Journal(state), None
        current = earlier or run
        if not current.experiment:  # its description is damaged
            current = replace(run, run_id=current.run_id, former=current.former)
        if journal.run is None:
            journal.append(current.record())
        if (earlier or run.run_id) and not amend:
            journal.append({"kind": "resume", "time": int(time.time() * 1000)})
        return MlflowTracker(root, current, journal, lock, amend=amend, system_metrics=system_metrics)
    except Timeout:
        log.warning("another process records a run in %s; this one's records are left out", state)
    except Exception as error:  # the work to be recorded goes on, whatever is on the disk
        log.warning("nothing is recorded for MLflow, because %s cannot be used: %s", state, error)
        if lock is not None:
            lock.release()
    return NullTracker()


def _is_same(earlier: RunDescription, run: RunDescription) -> bool:
    return run.key == earlier.key or (
        run.run_id is not None and run.run_id in (earlier.run_id, *earlier.former)
    )


def _step_aside(state: Path) -> None:
    """Make room for another run's journal; pending records stay pending under another name."""
    if is_waiting(state):
        state.rename(free_name(state, "earlier"))
    else:
        shutil.rmtree(state)
