"""What a piece of work took: time on the clock, and time of the processor."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Spent:
    """A time, or the length of one.

    Attributes:
        seconds: On the clock, so with whatever else the machine did meanwhile.
        processor: Seconds of all cores together, of this process and its threads alone.
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
    """The present, for the difference to a later one."""
    return Spent(time.perf_counter(), time.process_time())
