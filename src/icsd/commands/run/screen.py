"""An execution on a terminal: a few lines that are redrawn, below the list of finished stages."""

from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from icsd.commands.run.lines import WORDS
from icsd.commands.run.outlook import Outlook, in_words
from icsd.commands.run.schedule import State

_QUIET = {"unchanged"}
"""Outcomes that are not shown."""


class Screen:
    """Shows what runs, what waits, what is done and how long it will take.

    Args:
        outlook: The state of the execution.
        console: Where to show it; by default a new console on the terminal.
    """

    def __init__(self, outlook: Outlook, console: Console | None = None) -> None:
        self._outlook = outlook
        self._live = Live(console=console or Console(), auto_refresh=False, transient=True)

    def __enter__(self) -> "Screen":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def started(self, stage: str, log: Path) -> None:
        """A stage's command has started."""
        self._outlook.started(stage, log)

    def settled(self, stage: str, how: str) -> None:
        """A stage is over."""
        seconds = self._outlook.settled(stage, how)
        if how not in _QUIET:
            took = "" if seconds is None else f" in {in_words(seconds)}"
            style = "red" if how in {"failed", "skipped"} else "green"
            self._live.console.print(Text.assemble((f"{WORDS[how]}{took}", style), f"  {stage}"))

    def said(self, line: str) -> None:
        """A message about the whole execution."""
        self._live.console.print(Text(line, style="yellow"))

    def tick(self) -> None:
        """Redraw."""
        self._live.update(self._drawn(), refresh=True)

    def _drawn(self) -> Group:
        table = Table.grid(padding=(0, 2))
        for stage, seconds, epoch in self._outlook.running():
            bar = ProgressBar(total=epoch[1], completed=epoch[0], width=20) if epoch else Text("")
            words = f"epoch {epoch[0]}/{epoch[1]}, {in_words(epoch[2])} left" if epoch else ""
            table.add_row(Text(stage, style="bold"), bar, words, Text(in_words(seconds), style="dim"))
        schedule = self._outlook.schedule
        over = schedule.count(State.DONE, State.FAILED, State.SKIPPED)
        parts = [f"{over} of {len(schedule.states)} done", f"{schedule.count(State.WAITING)} wait"]
        left = self._outlook.seconds_left()
        if left is not None:
            parts.append(f"about {in_words(left)} left")
        return Group(table, Text(" · ".join(parts), style="cyan"))
