"""Equal wall-clock: how many epochs of a method take as long as the student alone."""

from collections.abc import Callable, Mapping, Sequence

from icsd.stages.paces import epochs_at

EPOCHS, ROUNDS = 2, 2
"""The rehearsal: epochs of every method per round, and number of rounds; the methods take turns."""


def epochs_in_equal_time(epochs: int, *, seconds_alone: float, seconds: float) -> int:
    """The epochs of a method that take as long as ``epochs`` of the student alone; from 1 to ``epochs``.

    Args:
        epochs: Epochs of the student alone.
        seconds_alone: Duration of an epoch of the student alone.
        seconds: Duration of an epoch of the method, with a running teacher.
    """
    return epochs_at(max(1.0, seconds / seconds_alone), epochs)


def rehearsed(methods: Sequence[str], seconds_of: Callable[[str], float]) -> Mapping[str, float]:
    """Seconds of an epoch by method.

    All methods take turns, and a method's fastest round counts: other load on the machine can only add time.

    Args:
        methods: The methods, including the student alone.
        seconds_of: Trains a method for ``EPOCHS`` epochs, and returns the seconds per epoch.
    """
    rounds = [{method: seconds_of(method) for method in methods} for _ in range(ROUNDS)]
    return {method: min(each[method] for each in rounds) for method in methods}
