"""The one type of error that users see, and helpers for its messages: hints, reasons, short lists."""

import difflib
from collections.abc import Iterable
from itertools import islice


class UserError(ValueError):
    """Bad input from a user: the message says what is wrong, where, and what to do."""


def did_you_mean(name: str, known: list[str]) -> str:
    """``; did you mean …? Allowed: …`` for a message that names an unknown ``name``."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{hint} Allowed: {', '.join(known)}"


def refuse(problems: Iterable[str]) -> None:
    """Raise an error if there are problems.

    Raises:
        UserError: There are problems; has one line for each, without duplicates.
    """
    if lines := dict.fromkeys(problems):
        raise UserError("\n".join(lines))


def first_line(error: Exception) -> str:
    """The first line of a foreign error's message, to be part of another; its type if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def some(names: Iterable[str], count: int, *, most: int = 5) -> str:
    """The first ``most`` of ``count`` names, and how many more there are. Takes no more from the iterable."""
    more = f" and {count - most} more" if count > most else ""
    return f"{', '.join(islice(names, most))}{more}"
