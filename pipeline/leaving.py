"""Fast process exit: run exit handlers and flush streams, but leave memory to the operating system.

Python would first destroy every object of every library, which takes half a second after importing torch.
"""

import atexit
import os
import sys
import threading
from typing import NoReturn, TextIO


def leave(code: int) -> NoReturn:
    """End this process like ``sys.exit(code)``, but without destroying its objects.

    It waits for non-daemon threads and runs the functions registered with ``atexit``.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    streams: list[TextIO | None] = [sys.stdout, sys.stderr]
    for stream in streams:
        try:
            if stream is not None:  # None if it was closed when Python started
                stream.flush()
        except (OSError, ValueError):  # closed since then, or a pipe without a reader
            code = code or 120  # as Python itself does
    os._exit(code)
