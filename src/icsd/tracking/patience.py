"""What a process knows of its store: whether it answers, how fast, and how long one still waits for it."""

import math
import threading
import time

from icsd.tracking.messages import log

WAIT_SECONDS = 10.0
"""How long a process waits for a server in all, beyond a twentieth of the time that it has run."""
WAIT_SECONDS_FOR_A_FILE = 60.0
"""The same for a local database, which takes long only when it is made, on a busy machine."""
_WAIT_SECONDS_WHEN_FAILING = 0.5
_FREE_SECONDS = 1.0  # what a store that answers may take each time
_LOOK_EVERY = 0.05
_SLOW = 0.4  # seconds a request on average
_REQUESTS = 3  # before the average counts


class NotTakenError(Exception):
    """The store answers, but takes no records."""


class Patience:
    """One for a process: a lost or slow server costs it once, and is said once, whatever waits for it."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._spent = 0.0
        self._requests, self._seconds = 0, 0.0
        self._said_slow = self._said_left = False
        self.seconds = WAIT_SECONDS
        self.failing = False
        self.in_mlflow = threading.RLock()
        """Held while a thread works with MLflow, which imports parts of itself at any time."""

    def wait(self, event: threading.Event, at_most: float | None = None) -> bool:
        """Wait for an event as long as this process still may. True if it has happened."""
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
        """Say that the store cannot be reached, or takes nothing, once until it answers again."""
        if not self.failing:
            what = "takes no records now" if isinstance(error, NotTakenError) else "cannot be reached"
            log.warning("MLflow %s; work continues and its records are kept for later: %s", what, error)
        self.failing = True

    def answered(self, seconds: float, *, requests: int = 1) -> None:
        """Note how long a server took, and say once that it is slow."""
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
        """Say once that a stage goes on before everything has arrived."""
        if not (self.failing or self._said_left):
            self._said_left = True
            log.warning(
                "MLflow has not taken everything in time; the rest is kept, and sent by the next stage or by "
                "`python -m pipeline deliver`"
            )


PATIENCE = Patience()


def wait_patiently() -> None:
    """Let this process wait as long as it takes."""
    PATIENCE.seconds = math.inf
