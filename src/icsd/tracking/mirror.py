"""The journal's way to MLflow: in batches, each record once, and never in the training's way."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icsd.tracking.journal import Journal, Record
from icsd.tracking.messages import log
from icsd.tracking.run import RunDescription, attach
from icsd.tracking.sending import send
from icsd.tracking.values import METRICS_PER_BATCH

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

PUSH_EVERY = 2.0
"""Seconds between two deliveries at least; writing to the journal does not wait for them."""
RETRY_AFTER = 30.0
"""Seconds without another attempt after a failed delivery: a dead server costs one now and then."""


class Mirror:
    """Sends a journal to the tracking store.

    Records carry their own time, so sending one again adds nothing. (That happens when the process is killed
    before it has noted the delivery.)

    Args:
        root: The repository.
        run: The run that the records belong to.
        journal: The records.
    """

    def __init__(self, root: Path, run: RunDescription, journal: Journal) -> None:
        self.run = run
        self._root = root
        self._journal = journal
        self._client: MlflowClient | None = None
        self._not_before = 0.0
        self._failing = False

    def push(self, *, now: bool = False) -> bool:
        """Send the waiting records, unless it is too early and not ``now``. True if none remains."""
        if not now and time.monotonic() < self._not_before:
            return False
        try:
            self._deliver()
        except Exception as error:  # tracking must not stop a training, whatever a server or a driver raises
            self._client = None
            self._not_before = time.monotonic() + RETRY_AFTER
            if not self._failing:
                log.warning(
                    "MLflow cannot be reached; the run continues and its records are kept for later: %s",
                    error,
                )
            self._failing = True
            return False
        self._failing = False
        self._not_before = time.monotonic() + PUSH_EVERY
        return True

    def _deliver(self) -> None:
        if self._client is None:
            client, lost = attach(self._root, self.run)
            self.run.save(self._journal.folder)
            if lost:
                self._journal.restart()
            self._client = client
        assert self.run.run_id is not None
        for record, position in _batches(self._journal.waiting()):
            self._journal.attempt(position)
            send(self._client, self.run.run_id, record, self._journal.folder)
            self._journal.deliver(position)


def _batches(waiting: list[tuple[Record, int]]) -> Iterator[tuple[Record, int]]:
    """The records in order, consecutive metrics joined up to what one request may hold."""
    points: list[dict[str, Any]] = []
    last = 0
    for record, position in waiting:
        new = _points(record) if record["kind"] == "metrics" else []
        if points and (not new or len(points) + len(new) > METRICS_PER_BATCH):
            yield {"kind": "points", "values": points}, last
            points = []
        points += new
        last = position
        if not new:
            yield record, position
    if points:
        yield {"kind": "points", "values": points}, last


def _points(record: Record) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": value, "timestamp": record["time"], "step": record["step"]}
        for key, value in record["values"].items()
    ]
