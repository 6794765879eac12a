"""Time spent on a piece of work: wall-clock time and CPU time."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Spent:
    """A point in time, or a duration.

    Attributes:
        seconds: Wall-clock time, which includes waiting for other work of the machine.
        processor: CPU time in seconds of this process and its threads, summed over cores.
    """

    seconds: float = 0.0
    processor: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.seconds + other.seconds, self.processor + other.processor)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.seconds - other.seconds, self.processor - other.processor)

    def __truediv__(self, parts: int) -> "Spent":
        return Spent(self.seconds / parts, self.processor / parts)


def now() -> Spent:
    """The current time; subtract an earlier one to get a duration."""
    return Spent(time.perf_counter(), time.process_time())
