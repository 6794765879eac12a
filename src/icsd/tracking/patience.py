"""How long a process still waits for its store, given whether and how fast the store answers."""

import math
import threading
import time

from icsd.tracking.messages import log

WAIT_SECONDS = 10.0
"""Total seconds that a process waits for a server, plus a twentieth of the time that it has run."""
WAIT_SECONDS_FOR_A_FILE = 60.0
"""The same for a local database, which is slow only while it is created on a busy machine."""
_WAIT_SECONDS_WHEN_FAILING = 0.5
_FREE_SECONDS = 1.0  # of each successful wait, which do not count
_LOOK_EVERY = 0.05
_SLOW = 0.4  # mean seconds per request
_REQUESTS = 3  # minimum number for the mean to count


class NotTakenError(Exception):
    """The store answers, but accepts no records."""


class Patience:
    """The waiting budget of a process: a lost or slow server uses it up once, with one warning."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._spent = 0.0
        self._requests, self._seconds = 0, 0.0
        self._said_slow = self._said_left = False
        self.seconds = WAIT_SECONDS
        self.failing = False
        self.in_mlflow = threading.RLock()
        """Held while a thread uses MLflow, which may import parts of itself at any time."""

    def wait(self, event: threading.Event, at_most: float | None = None) -> bool:
        """Wait for an event within the remaining budget. True if it has happened."""
        begun = time.monotonic()
        left = self.seconds + (begun - self._started) / 20 - self._spent
        left = left if at_most is None else min(left, at_most)
        while not (done := event.wait(_LOOK_EVERY)):
            limit = min(left, _WAIT_SECONDS_WHEN_FAILING) if self.failing and left < math.inf else left
            if time.monotonic() - begun > limit:
                break
        elapsed = time.monotonic() - begun
        self._spent += max(0.0, elapsed - _FREE_SECONDS) if done else elapsed
        return done

    def failed(self, error: Exception) -> None:
        """Warn that the store cannot be reached or accepts nothing, once until it answers again."""
        if not self.failing:
            what = "takes no records now" if isinstance(error, NotTakenError) else "cannot be reached"
            log.warning("MLflow %s; work continues and its records are kept for later: %s", what, error)
        self.failing = True

    def answered(self, seconds: float, *, requests: int = 1) -> None:
        """Note how long a server took, and warn once if it is slow."""
        self.failing = False
        self._requests += requests
        self._seconds += seconds
        mean = self._seconds / self._requests
        if not self._said_slow and self._requests >= _REQUESTS and mean >= _SLOW:
            self._said_slow = True
            log.warning(
                "MLflow is slow (%.1f s a request): no training waits for it, and what has not "
                "arrived when a stage ends is sent by a later one",
                mean,
            )

    def left(self) -> None:
        """Warn once that a stage continues before everything has been delivered."""
        if not (self.failing or self._said_left):
            self._said_left = True
            log.warning(
                "MLflow has not taken everything in time; the rest is kept, and sent by the next stage or by "
                "`python -m pipeline deliver`"
            )


PATIENCE = Patience()


def wait_patiently() -> None:
    """Remove the limit on this process's waiting."""
    PATIENCE.seconds = math.inf
