"""Delivers a journal to MLflow: in its own thread, in batches, each record once.

MLflow's own asynchronous logging is not used: its queue is in memory, it drops records when the server is
unreachable, and it joins its threads at exit, so a server that never answers blocks the process forever
(mlflow issue 20575).
"""

import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from icsd.tracking.journal import Journal
from icsd.tracking.lines import Record
from icsd.tracking.messages import log
from icsd.tracking.patience import PATIENCE, WAIT_SECONDS_FOR_A_FILE, NotTakenError
from icsd.tracking.run import RunDescription, attach, is_there
from icsd.tracking.sending import batched, send
from icsd.tracking.store import local_database, open_client

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

PUSH_EVERY = 2.0
"""Minimum number of seconds between two deliveries."""
RETRY_AFTER = 30.0
"""Seconds before the next attempt after a failed delivery."""
IN_A_ROW = 3
"""After this many consecutive failures, the store is at fault and not the records or runs."""
UNDER_WAY: set[Path] = set()
"""Folders of the journals that this process writes or delivers."""
_REQUESTS_TO_MAKE_A_RUN = 4


class Delivery:
    """Sends a journal to the store, from a thread that starts with the first record.

    Records carry their own time, so sending one again adds nothing. (That happens if the process is killed
    after a delivery and before noting it.)

    Args:
        root: The repository.
        run: The run that the records belong to.
        journal: The records.
        lock: The journal's lock, already held; released when the thread ends.
    """

    def __init__(self, root: Path, run: RunDescription, journal: Journal, lock: FileLock) -> None:
        self._root = root
        self._run = run
        self._journal = journal
        self._lock = lock
        self._client: MlflowClient | None = None
        self._thread: threading.Thread | None = None
        self._woken, self._finishing = threading.Event(), threading.Event()
        self._tried, self._ended = threading.Event(), threading.Event()
        self._retry_at = 0.0
        self._said = False
        if local_database(root) is not None:
            PATIENCE.seconds = max(PATIENCE.seconds, WAIT_SECONDS_FOR_A_FILE)
        UNDER_WAY.add(journal.folder)

    def wake(self) -> None:
        """Tell the thread that there are new records; start it if needed."""
        if self._thread is None:
            # A daemon thread, so that a server that never answers cannot keep the process from ending.
            self._thread = threading.Thread(target=self._work, name="mlflow-delivery", daemon=True)
            self._thread.start()
        self._woken.set()

    def run_id(self) -> str | None:
        """The run's id in MLflow; waits briefly for the thread's first attempt. None if still unknown."""
        if self._run.run_id is None and not self._ended.is_set():
            self.wake()
            PATIENCE.wait(self._tried)
        return self._run.run_id

    def finish(self, at_most: float | None) -> bool:
        """Make the thread send what it can and end, and wait briefly for it. True if it has ended."""
        self._finishing.set()
        self.wake()
        return PATIENCE.wait(self._ended, at_most)

    def push(self) -> bool:
        """Send the pending records now. False if the store cannot be reached, or accepts none."""
        try:
            with PATIENCE.in_mlflow:
                self._client = self._client or self._attach()
            self._tried.set()
            self._deliver(self._client)
        except Exception as error:  # of a server, a driver or a disk: the records stay
            self._client = None
            PATIENCE.failed(error)
            return False
        finally:
            self._tried.set()
        return True

    def deliver_once(self) -> bool:
        """Push once, delete the copies of files if nothing is pending, and release the journal's lock."""
        try:
            sent = self.push()
            if self._journal.waiting == 0:
                for name in ("files", "images"):
                    shutil.rmtree(self._journal.folder / name, ignore_errors=True)
            return sent
        finally:
            UNDER_WAY.discard(self._journal.folder)
            self._lock.release()
            self._ended.set()

    def _work(self) -> None:
        while not self._finishing.is_set():
            sent = self.push()
            if not self._finishing.wait(PUSH_EVERY if sent else RETRY_AFTER) and sent:
                self._woken.wait()
            self._woken.clear()
        self.deliver_once()

    def _attach(self) -> "MlflowClient":
        is_server = local_database(self._root) is None
        if is_server:
            open_client(self._root)  # before the clock starts, which is to time the server only
        begun, known = time.monotonic(), self._run.run_id is not None
        client, lost = attach(self._root, self._run)
        self._journal.attach(self._run.run_id, self._run.former, lost=lost)
        seconds = time.monotonic() - begun if is_server else 0.0
        PATIENCE.answered(seconds, requests=1 if known else _REQUESTS_TO_MAKE_A_RUN)
        return client

    def _deliver(self, client: "MlflowClient") -> None:
        failures = 0
        while lines := self._journal.take():
            for group, record in batched(lines):
                sent = self._send(client, record)
                failures = 0 if sent else failures + 1
                if failures == IN_A_ROW:
                    raise NotTakenError(f"the last {IN_A_ROW} were not taken")
                self._journal.deliver(group[-1].end, postponed=[] if sent else [line.start for line in group])
        if time.monotonic() < self._retry_at:
            return
        self._retry_at = time.monotonic() + RETRY_AFTER
        for line in self._journal.postponed():
            sent = all(self._send(client, record) for _, record in batched([line]))
            failures = 0 if sent else failures + 1
            if sent:
                self._journal.settle(line.start)
            elif failures == IN_A_ROW:
                break

    def _send(self, client: "MlflowClient", record: Record) -> bool:
        """Send one record. False if the store answers, but does not accept the record now."""
        run_id = str(self._run.run_id)
        begun = time.monotonic()
        with PATIENCE.in_mlflow:
            try:
                send(client, run_id, record, self._journal.folder)
            except Exception as error:
                if not is_there(client, run_id):
                    raise
                if not self._said:
                    log.warning("MLflow does not take a record now; it is kept and tried again: %s", error)
                self._said = True
                return False
        if record["kind"] == "batch" and client.tracking_uri.startswith("http"):
            PATIENCE.answered(time.monotonic() - begun)
        return True
