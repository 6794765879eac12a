"""Estimates when an execution will be done, and which stages should start first."""

import heapq
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from icsd.commands.run.durations import Durations, epoch_in
from icsd.commands.run.schedule import Schedule, State

Stage = Any


def urgency(
    order: Sequence[Stage], needs: Mapping[Stage, Iterable[Stage]], expected: Callable[[Stage], float]
) -> dict[Stage, float]:
    """Stage -> duration in seconds of the longest chain of stages that starts with it (critical path).

    The longest chain is started first, so that the execution does not end with one long stage alone.

    Args:
        order: Stages, each after those that it needs.
        needs: Stage -> stages that it needs.
        expected: Gives the expected seconds of a stage.
    """
    found = dict.fromkeys(order, 0.0)
    for stage in reversed(order):
        found[stage] += expected(stage)
        for other in needs[stage]:
            if other in found:
                found[other] = max(found[other], found[stage])
    return found


class Outlook:
    """The state of an execution, for its display.

    Args:
        schedule: The schedule of DVC's stages.
        needs: Stage -> stages that it needs.
        durations: Known durations, by stage name.
        slots: How many stages run at a time.
    """

    def __init__(
        self,
        schedule: Schedule[Stage],
        needs: Mapping[Stage, Iterable[Stage]],
        durations: Durations,
        slots: int,
    ) -> None:
        self.schedule = schedule
        self._needs, self._durations, self._slots = needs, durations, slots
        self._started: dict[str, tuple[float, Path]] = {}

    def started(self, stage: str, log: Path) -> None:
        """A stage begins to run."""
        self._started[stage] = (time.monotonic(), log)

    def settled(self, stage: str, how: str) -> float | None:
        """A stage is over; returns how long it ran."""
        if stage not in self._started:
            return None
        seconds = time.monotonic() - self._started.pop(stage)[0]
        if how == "ran":
            self._durations.remember(stage, seconds)
        return seconds

    def running(self) -> list[tuple[str, float, tuple[int, int, float] | None]]:
        """Running stages: name, seconds so far, and the epoch from the log."""
        now = time.monotonic()
        return [(stage, now - since, epoch_in(log)) for stage, (since, log) in self._started.items()]

    def seconds_left(self) -> float | None:
        """Seconds until all is done if every waiting stage has to run; None as long as nothing is known."""
        running = {}
        for stage, seconds, epoch in self.running():
            expected = self._durations.expected(stage)
            if epoch is None and expected is None:
                return None
            running[stage] = epoch[2] if epoch else max(0.0, (expected or 0.0) - seconds)
        lengths = {}
        for stage, state in self.schedule.states.items():
            if state == State.RUNNING:
                lengths[stage] = running.get(stage.addressing, 0.0)
            elif state == State.WAITING:
                expected = self._durations.expected(stage.addressing)
                if expected is None:
                    return None
                lengths[stage] = expected
        return _end(lengths, self._needs, set(self.schedule.nodes(State.RUNNING)), self._slots)


def _end(
    lengths: Mapping[Stage, float], needs: Mapping[Stage, Iterable[Stage]], running: set[Stage], slots: int
) -> float:
    """Seconds until the last stage ends, if each starts as soon as a slot is free and its needs are done."""
    ends: dict[Stage, float] = {}
    free = [0.0] * max(1, slots - len(running))
    for stage in lengths:
        if stage in running:
            ends[stage] = lengths[stage]
            free.append(lengths[stage])
    heapq.heapify(free)
    for stage, seconds in lengths.items():  # in order, so the stages that it needs have their ends
        if stage not in running:
            begin = max([heapq.heappop(free), *(ends[need] for need in needs[stage] if need in ends)])
            ends[stage] = begin + seconds
            heapq.heappush(free, ends[stage])
    return max(ends.values(), default=0.0)


def in_words(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
