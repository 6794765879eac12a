"""Two steps by turns, so that both meet the same machine whatever else it has to do."""

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

WARM_UP = 2
"""Steps of each that are not counted: the first ones allocate, and choose kernels."""


class Turns(NamedTuple):
    """Medians over rounds.

    Attributes:
        ratio: Seconds of the method's step over those of the student's alone in the same round.
        seconds: Of the method's step.
        seconds_alone: Of the student's alone.
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
    """Time both steps in every round, each the first of the two in every other one.

    A ratio is taken within a round: a machine that slows down for a while slows down both.
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
    """Processor time where this process's one thread does everything, which other work hardly disturbs."""
    return time.process_time if on_cpu and threads == 1 and workers == 0 else time.perf_counter


def _seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start
