"""The one error that a user may see, and the hint that helps them mend it."""

import difflib


class UserError(ValueError):
    """Bad input from a user: the message says what is wrong, where, and what to do."""


def did_you_mean(name: str, known: list[str]) -> str:
    """``; did you mean …? Allowed: …`` for a message that names an unknown ``name``."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{hint} Allowed: {', '.join(known)}"
