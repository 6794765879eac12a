"""Signals that ask a command to stop."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call ``handler`` for Ctrl-C, SIGTERM and the end of the terminal in this block.

    A signal that is ignored stays so: ``nohup`` ignores the end of the terminal, a script's ``&`` Ctrl-C.
    """
    heard = [
        each
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(each) is not signal.SIG_IGN
    ]
    former = {each: signal.signal(each, handler) for each in heard}
    try:
        yield
    finally:
        for each, before in former.items():
            signal.signal(each, before)
