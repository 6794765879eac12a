"""What later stages do for earlier runs: deliver pending records, end killed runs, tag reused ones."""

import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import Timeout

from icsd.runs import main_root
from icsd.tracking.journal import Journal, journal_folders, journal_lock
from icsd.tracking.messages import log
from icsd.tracking.mirror import Mirror
from icsd.tracking.names import CHILD, Tag
from icsd.tracking.run import RunDescription, find_runs
from icsd.tracking.store import open_client, store_location, store_lock

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def deliver_pending(root: Path) -> int:
    """Send the records that earlier processes could not send; stops at the first failure.

    Cheap when nothing waits: MLflow is not even imported.

    Returns:
        The number of journals that still wait; those of live processes are not counted.
    """
    waiting = [folder for folder in journal_folders(root) if Journal(folder).waiting()]
    for done, folder in enumerate(waiting):
        if not _deliver(root, folder):
            return len(waiting) - done
    return 0


def close_stale(root: Path, *, experiment: str, group: str) -> list[str]:
    """Mark those runs of a group as KILLED that still count as RUNNING though their process is dead.

    Whether a process lives is known by its lock on the journal. Runs of other machines on a shared server
    count as alive.

    Args:
        root: The repository.
        experiment: MLflow's experiment.
        group: ``group_id(...)``.

    Returns:
        The ids of the runs that were closed; none when the store cannot be reached.
    """
    closed: list[str] = []

    def close(client: "MlflowClient") -> None:
        holder = client.get_experiment_by_name(experiment)
        children = {Tag.GROUP: group, Tag.ROLE: CHILD}
        for run in find_runs(client, holder.experiment_id, children) if holder else ():
            if run.info.status == "RUNNING" and not _is_live(root, run.data.tags):
                client.set_terminated(run.info.run_id, "KILLED")
                closed.append(run.info.run_id)

    when_reachable(root, close)
    return closed


def tag_reused(root: Path, run_ids: Iterable[str], *, group: str) -> None:
    """Tag the runs whose results came from DVC's cache with the group that uses them (``Tag.REUSED_BY``)."""

    def tag(client: "MlflowClient") -> None:
        for run_id in run_ids:
            tags = client.get_run(run_id).data.tags
            users = [name for name in tags.get(Tag.REUSED_BY, "").split(", ") if name]
            if group not in (*users, tags.get(Tag.GROUP)):
                client.set_tag(run_id, Tag.REUSED_BY, ", ".join([*users, group]))

    when_reachable(root, tag)


def when_reachable(root: Path, work: "Callable[[MlflowClient], None]") -> None:
    """Run ``work`` with the store's client; a store that cannot be reached, or refuses, is a warning.

    Args:
        root: The repository.
        work: Something that no stage depends on.
    """
    try:
        with store_lock(root):
            client = open_client(root)
            client.search_experiments(max_results=1)
        work(client)
    except Exception as error:  # upkeep is optional: the stage that asks for it has its own work to finish
        log.warning("MLflow cannot be reached, its runs stay as they are: %s", error)


def _deliver(root: Path, folder: Path) -> bool:
    lock = journal_lock(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    try:
        run = RunDescription.load(folder)
        return run is None or Mirror(root, run, Journal(folder)).push(now=True)
    finally:
        lock.release()


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
