"""The one error that a user may see, and what helps its message: hints, and lists that stay short."""

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


def some(names: Iterable[str], count: int, *, most: int = 5) -> str:
    """The first ``most`` of ``count`` names, and how many more there are; no more of them are taken."""
    more = f" and {count - most} more" if count > most else ""
    return f"{', '.join(islice(names, most))}{more}"
