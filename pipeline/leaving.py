"""The end of a process: what is open is closed, and the memory is left to the operating system.

Python would first take every object of every library apart, which takes half a second after torch.
"""

import atexit
import os
import sys
import threading
from typing import NoReturn, TextIO


def leave(code: int) -> NoReturn:
    """End this process as ``sys.exit(code)`` would, at once.

    Threads that are no daemons are waited for, and the functions registered with ``atexit`` run.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    streams: list[TextIO | None] = [sys.stdout, sys.stderr]
    for stream in streams:
        try:
            if stream is not None:  # closed already when Python began: nobody wants to read it
                stream.flush()
        except (OSError, ValueError):  # closed since, or a pipe that nobody reads
            code = code or 120  # as Python itself does
    os._exit(code)
