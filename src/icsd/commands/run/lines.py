"""An execution as plain lines: for a log file, CI, or whoever pipes it on."""

import time
from collections.abc import Callable
from pathlib import Path

_WORDS = {
    "ran": "done",
    "restored": "done, from the cache",
    "unchanged": "nothing changed",
    "failed": "FAILED",
    "skipped": "not run: what it needs has failed",
    "ended": "stopped",
}


class Lines:
    """Says when a stage starts and ends, and what it prints, with the stage's name in front.

    Args:
        total: How many stages there are.
        write: Takes a line.
    """

    def __init__(self, total: int, write: Callable[[str], None]) -> None:
        self._total, self._write = total, write
        self._settled = 0
        self._logs: dict[str, tuple[Path, int, float]] = {}

    def started(self, stage: str, log: Path) -> None:
        """Its command runs."""
        self._logs[stage] = (log, 0, time.monotonic())
        self._write(f"[{stage}] started")

    def settled(self, stage: str, how: str) -> None:
        """It is over."""
        self._settled += 1
        took = ""
        if stage in self._logs:
            self._follow(stage, whole=True)
            took = f" in {time.monotonic() - self._logs.pop(stage)[2]:.1f} s"
        self._write(f"[{stage}] {_WORDS[how]}{took} ({self._settled} of {self._total})")

    def said(self, line: str) -> None:
        """A line about the whole."""
        self._write(line)

    def tick(self) -> None:
        """Pass on what the running stages have printed."""
        for stage in self._logs:
            self._follow(stage)

    def _follow(self, stage: str, *, whole: bool = False) -> None:
        log, position, since = self._logs[stage]
        try:
            with log.open("rb") as file:
                file.seek(position)
                new = file.read()
        except OSError:
            return
        complete = new if whole else new[: new.rfind(b"\n") + 1]
        for line in complete.decode(errors="replace").splitlines():
            self._write(f"[{stage}] {line}")
        self._logs[stage] = (log, position + len(complete), since)
