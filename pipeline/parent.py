"""A stage ends with the ``dvc`` or ``run`` that started it.

A killed ``dvc`` leaves its child running, and the next ``dvc repro`` would start the same stage once more.
So a stage watches the process that it runs for and stops, as after SIGTERM, when that is gone. (Locks protect
the seconds in which two of them live.)
"""

import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

_POLL_SECONDS = 0.5
_GRACE_SECONDS = 20.0


def end_with_parent() -> None:
    """Watch DVC's process, where DVC runs this one (it sets ``DVC_STAGE``)."""
    if "DVC_STAGE" not in os.environ or "ICSD_FIRST_RANK" in os.environ:  # which ends with its first rank
        return
    import psutil

    try:
        ancestors = psutil.Process().parents()
        owner = next((process for process in ancestors if _is_dvc(process)), None) or ancestors[0]
    except (psutil.Error, IndexError):
        return  # it is gone already, or hidden from us: nothing to watch
    threading.Thread(target=_watch, args=(owner,), daemon=True, name="end-with-parent").start()


def _is_dvc(process: "psutil.Process") -> bool:
    """Whether a process is DVC itself, or ``run``, and not the shell through which it runs a stage."""
    from icsd.commands.run.known import is_run

    words = process.cmdline()
    return is_run(words) or any(Path(word).name.startswith("dvc") for word in words[:3])


def _watch(owner: "psutil.Process") -> None:
    while _is_alive(owner):
        time.sleep(_POLL_SECONDS)
    print("the process that started this stage is gone; stopping, the same command resumes", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)  # for a last record and a closed run
    os._exit(128 + signal.SIGTERM)


def _is_alive(process: "psutil.Process") -> bool:
    """Whether a process still works; one that has ended stays listed until its own parent asks for it."""
    import psutil

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
