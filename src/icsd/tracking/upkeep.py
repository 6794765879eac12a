"""Upkeep of earlier runs by later stages: deliver pending records, end killed runs, tag reused ones."""

import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import Timeout

from icsd.runs import main_root
from icsd.tracking.delivery import IN_A_ROW, UNDER_WAY, Delivery
from icsd.tracking.journal import FILE, Journal, is_waiting, journal_folders, journal_lock
from icsd.tracking.lines import set_aside
from icsd.tracking.messages import log
from icsd.tracking.names import CHILD, Tag
from icsd.tracking.patience import PATIENCE
from icsd.tracking.run import RunDescription, find_runs, is_there, run_id_of_key
from icsd.tracking.store import open_client, store_location, store_lock

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_DELIVERING = threading.Lock()
"""Held while this process delivers the records that earlier ones left."""


def deliver_pending(root: Path) -> int:
    """Send the records that earlier processes could not send.

    Cheap if nothing is pending: MLflow is not even imported. A journal that cannot be delivered does not hold
    up the others, and a slow store does not hold up the caller: it waits briefly, and the rest is sent in the
    background, or later.

    Returns:
        The number of journals that are still pending, without those of other live processes.
    """
    if any(map(is_waiting, journal_folders(root))) and _DELIVERING.acquire(blocking=False):
        _in_background(lambda: _deliver_all(root))
    return sum(is_waiting(folder) and not _is_anothers(folder) for folder in journal_folders(root))


def close_stale(root: Path, *, experiment: str, group: str) -> list[str]:
    """Mark runs of a group as KILLED if they are still RUNNING although their process is dead.

    A live process holds its lock on the journal. Runs of other machines on a shared server count as alive.

    Args:
        root: The repository.
        experiment: MLflow's experiment.
        group: ``group_id(...)``.

    Returns:
        The ids of the runs that were closed; empty if the store cannot be reached.
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


def tag_reused(
    root: Path, runs: Iterable[tuple[str | None, str | None]], *, experiment: str, group: str
) -> None:
    """Tag the runs whose results came from DVC's cache with the group that uses them (``Tag.REUSED_BY``).

    Args:
        root: The repository.
        runs: Id and key of each run; the key is used if the id is None. Runs of another store are skipped.
        experiment: MLflow's experiment.
        group: ``group_id(...)`` of the group that uses them.
    """

    def tag(client: "MlflowClient") -> None:
        for known, key in runs:
            run_id = known or run_id_of_key(client, experiment, key)
            if run_id is None or not is_there(client, run_id):
                continue
            tags = client.get_run(run_id).data.tags
            users = [name for name in tags.get(Tag.REUSED_BY, "").split(", ") if name]
            if group not in (*users, tags.get(Tag.GROUP)):
                client.set_tag(run_id, Tag.REUSED_BY, ", ".join([*users, group]))

    when_reachable(root, tag)


def when_reachable(root: Path, work: "Callable[[MlflowClient], None]") -> None:
    """Run ``work`` with the store's client; warn if the store cannot be reached or refuses.

    Args:
        root: The repository.
        work: A task that no stage depends on; after a brief wait it continues in the background.
    """

    def with_client() -> None:
        try:
            with PATIENCE.in_mlflow, store_lock(root):
                client = open_client(root)
                client.search_experiments(max_results=1)
        except Exception as error:  # upkeep is optional, and must not stop the stage that calls it
            PATIENCE.failed(error)
            return
        try:
            work(client)
        except Exception as error:
            log.warning("MLflow's runs and models stay as they are: %s", error)

    _in_background(with_client)


def _in_background(work: Callable[[], None]) -> None:
    """Run ``work`` in a thread, and wait briefly for it."""
    done = threading.Event()

    def run() -> None:
        try:
            work()
        except Exception as error:
            log.warning("MLflow's records wait: %s", error)
        finally:
            done.set()

    threading.Thread(target=run, name="mlflow-upkeep", daemon=True).start()
    if not PATIENCE.wait(done):
        PATIENCE.left()


def _deliver_all(root: Path) -> None:
    try:
        failures = 0
        for folder in sorted(filter(is_waiting, journal_folders(root)), key=_age):
            failures = 0 if _deliver(root, folder) else failures + 1
            if failures == IN_A_ROW:
                return
    finally:
        _DELIVERING.release()


def _deliver(root: Path, folder: Path) -> bool:
    """Deliver a journal, unless a live process holds it. False if the store did not accept its records."""
    lock = None
    try:
        lock = journal_lock(folder)
        lock.acquire(timeout=0)
        journal = Journal(folder)
        if run := RunDescription.of(journal):
            return Delivery(root, run, journal, lock).deliver_once()
        set_aside(folder / FILE)  # nothing says which run it is
    except Timeout:
        return True
    except OSError as error:
        log.warning("the records for MLflow in %s wait: %s", folder, error)
    if lock is not None:
        lock.release()
    return True


def _is_anothers(folder: Path) -> bool:
    """Whether another process is recording into a journal."""
    if folder in UNDER_WAY:
        return False
    try:
        with journal_lock(folder).acquire(timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def _age(folder: Path) -> float:
    """Sort key, older journals first: an evaluation's records of a run must come after its training's."""
    try:
        return (folder / FILE).stat().st_mtime
    except OSError:
        return 0.0


def _is_live(root: Path, tags: Mapping[str, str]) -> bool:
    host, _, place = tags.get(Tag.JOURNAL, "").partition(":")
    if not store_location(root)[0].startswith("sqlite:") and host != socket.gethostname():
        return True
    folder = main_root(root) / place
    return folder in UNDER_WAY or ((folder / "lock").exists() and _is_anothers(folder))
