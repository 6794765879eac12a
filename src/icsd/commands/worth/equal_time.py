"""Equal wall-clock: how many epochs of a method take as long as the student alone."""

from collections.abc import Callable, Mapping, Sequence

from icsd.stages.paces import epochs_at

EPOCHS, ROUNDS = 2, 2
"""A rehearsal: so many epochs of every method by turns, so often."""


def epochs_in_equal_time(epochs: int, *, seconds_alone: float, seconds: float) -> int:
    """The epochs that a method gets where the student alone gets ``epochs``; never more, and at least one.

    Args:
        epochs: Of the student alone.
        seconds_alone: Of one of its epochs.
        seconds: Of one of the method's, with a teacher that runs.
    """
    return epochs_at(max(1.0, seconds / seconds_alone), epochs)


def rehearsed(methods: Sequence[str], seconds_of: Callable[[str], float]) -> Mapping[str, float]:
    """Seconds of an epoch by method.

    All methods take turns, and the faster of a method's rounds counts: what else the machine does only ever
    adds to a time.

    Args:
        methods: The student alone among them.
        seconds_of: Trains a method for ``EPOCHS`` epochs, and returns the seconds of one.
    """
    rounds = [{method: seconds_of(method) for method in methods} for _ in range(ROUNDS)]
    return {method: min(each[method] for each in rounds) for method in methods}
