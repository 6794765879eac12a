"""An execution as plain lines, for a log file, CI or a pipe."""

from collections.abc import Callable
from pathlib import Path

from icsd.commands.run.outlook import Outlook, in_words
from icsd.commands.run.schedule import State

WORDS = {
    "ran": "done",
    "restored": "done, from the cache",
    "unchanged": "nothing changed",
    "failed": "FAILED",
    "skipped": "not run: what it needs has failed",
    "ended": "stopped",
}


class Lines:
    """Writes when a stage starts and ends, and what it prints, with the stage's name in front.

    Args:
        outlook: The state of the execution.
        write: Writes a line.
    """

    def __init__(self, outlook: Outlook, write: Callable[[str], None]) -> None:
        self._outlook, self._write = outlook, write
        self._logs: dict[str, tuple[Path, int]] = {}

    def started(self, stage: str, log: Path) -> None:
        """A stage's command has started."""
        self._outlook.started(stage, log)
        self._logs[stage] = (log, 0)
        self._write(f"[{stage}] started")

    def settled(self, stage: str, how: str) -> None:
        """A stage is over."""
        seconds = self._outlook.settled(stage, how)
        if stage in self._logs:
            self._follow(stage, whole=True)
            del self._logs[stage]
        states = self._outlook.schedule.states
        over = self._outlook.schedule.count(State.DONE, State.FAILED, State.SKIPPED)
        words = [
            f"{WORDS[how]}{'' if seconds is None else f' in {in_words(seconds)}'} ({over} of {len(states)})"
        ]
        left = self._outlook.seconds_left() if how == "ran" else None
        words += [f"about {in_words(left)} left"] if left else []
        self._write(f"[{stage}] {', '.join(words)}")

    def said(self, line: str) -> None:
        """A message about the whole execution."""
        self._write(line)

    def tick(self) -> None:
        """Pass on what the running stages have printed."""
        for stage in self._logs:
            self._follow(stage)

    def _follow(self, stage: str, *, whole: bool = False) -> None:
        log, position = self._logs[stage]
        try:
            with log.open("rb") as file:
                file.seek(position)
                new = file.read()
        except OSError:
            return
        complete = new if whole else new[: new.rfind(b"\n") + 1]
        for line in complete.decode(errors="replace").splitlines():
            self._write(f"[{stage}] {line}")
        self._logs[stage] = (log, position + len(complete))
