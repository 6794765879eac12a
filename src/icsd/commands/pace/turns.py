"""Times two steps in turn, so that other load on the machine affects both alike."""

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

WARM_UP = 2
"""Untimed steps of each: the first ones allocate memory and choose kernels."""


class Turns(NamedTuple):
    """Medians over rounds.

    Attributes:
        ratio: Duration of the method's step over that of the student alone in the same round.
        seconds: Duration of the method's step.
        seconds_alone: Duration of the step of the student alone.
    """

    ratio: float
    seconds: float
    seconds_alone: float


def by_turns(
    method: Callable[[], object],
    alone: Callable[[], object],
    *,
    rounds: int,
    clock: Callable[[], float],
) -> Turns:
    """Time both steps in every round; which of the two is first alternates.

    Ratios are taken within a round, since a machine that slows down for a while slows down both.
    """
    for _ in range(WARM_UP):
        alone()
        method()
    times: list[tuple[float, float]] = []
    for turn in range(rounds):
        if turn % 2:
            own, other = _seconds(method, clock), _seconds(alone, clock)
        else:
            other, own = _seconds(alone, clock), _seconds(method, clock)
        times.append((own, other))
    return Turns(
        median(own / other for own, other in times),
        median(own for own, _ in times),
        median(other for _, other in times),
    )


def clock_for(*, on_cpu: bool, threads: int, workers: int) -> Callable[[], float]:
    """CPU time, which other load hardly affects, if one thread does everything; otherwise wall-clock time."""
    return time.process_time if on_cpu and threads == 1 and workers == 0 else time.perf_counter


def _seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start
