"""Recognises this command by its command line."""

from collections.abc import Sequence
from itertools import pairwise


def is_run(words: Sequence[str]) -> bool:
    """Whether a command line is that of ``python -m pipeline run``."""
    return ("pipeline", "run") in pairwise(words[:8])
