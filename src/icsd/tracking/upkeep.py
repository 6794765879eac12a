"""What later stages do for earlier runs: deliver what is left, close the killed, mark the reused."""

import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import Timeout

from icsd.tracking.folders import journal_lock, journals, main_root
from icsd.tracking.journal import Journal
from icsd.tracking.mirror import Mirror
from icsd.tracking.names import CHILD, Tag
from icsd.tracking.store import (
    RunDescription,
    find_runs,
    open_client,
    store_location,
    store_lock,
)

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_log = logging.getLogger("icsd.tracking")


def deliver_pending(root: Path) -> int:
    """Send what earlier processes could not; stops at the first failure.

    Cheap where nothing waits: MLflow is not even imported.

    Returns:
        The number of journals that still wait; those of live processes are not counted.
    """
    waiting = [folder for folder in journals(root) if Journal(folder).waiting()]
    for done, folder in enumerate(waiting):
        if not _deliver(root, folder):
            return len(waiting) - done
    return 0


def close_stale(
    root: Path,
    *,
    experiment: str,
    group: str,
    live: Callable[[Mapping[str, str]], bool] | None = None,
) -> list[str]:
    """Mark the runs of a group as KILLED that stand at RUNNING though no process works on them.

    Args:
        root: The repository.
        experiment: MLflow's experiment.
        group: ``group_id(...)``.
        live: Tells from a run's tags whether its process lives; by default, whether its journal is locked
            (runs of other machines on a shared server count as alive).

    Returns:
        The ids of the runs that were closed; none when the store cannot be reached.
    """
    is_live = live or (lambda tags: _is_live(root, tags))
    closed: list[str] = []

    def close(client: "MlflowClient") -> None:
        found = client.get_experiment_by_name(experiment)
        wanted = {Tag.GROUP: group, Tag.ROLE: CHILD}
        for run in find_runs(client, found.experiment_id, wanted) if found else ():
            if run.info.status == "RUNNING" and not is_live(run.data.tags):
                client.set_terminated(run.info.run_id, "KILLED")
                closed.append(run.info.run_id)

    when_reachable(root, close)
    return closed


def tag_reused(root: Path, run_ids: Iterable[str], *, group: str) -> None:
    """Note on runs whose results came from DVC's cache that ``group`` uses them (tag ``icsd.reused_by``)."""

    def tag(client: "MlflowClient") -> None:
        for run_id in run_ids:
            tags = client.get_run(run_id).data.tags
            users = [name for name in tags.get(Tag.REUSED_BY, "").split(", ") if name]
            if group not in (*users, tags.get(Tag.GROUP)):
                client.set_tag(run_id, Tag.REUSED_BY, ", ".join([*users, group]))

    when_reachable(root, tag)


def _deliver(root: Path, folder: Path) -> bool:
    lock = journal_lock(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    try:
        run = RunDescription.load(folder)
        journal = Journal(folder)
        delivered = run is None or Mirror(root, run, journal, every=0, retry_after=0).push(now=True)
    finally:
        lock.release()
    return delivered


def _is_live(root: Path, tags: Mapping[str, str]) -> bool:
    host, _, place = tags.get(Tag.JOURNAL, "").partition(":")
    if not store_location(root)[0].startswith("sqlite:") and host != socket.gethostname():
        return True
    folder = main_root(root) / place
    if not (folder / "lock").exists():
        return False
    lock = journal_lock(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def when_reachable(root: Path, work: "Callable[[MlflowClient], None]") -> None:
    """Run ``work`` with the store's client; a store that cannot be reached, or refuses, is a warning.

    Args:
        root: The repository.
        work: What is to be done there; a courtesy that no stage depends on.
    """
    try:
        with store_lock(root):
            client = open_client(root)
            client.search_experiments(max_results=1)
        work(client)
    except Exception as error:  # upkeep is a courtesy: the stage that asks for it has its own work to finish
        _log.warning("MLflow cannot be reached, its runs stay as they are: %s", error)
