"""Stop a stage when the ``dvc`` or ``run`` that started it is gone.

When ``dvc`` is killed, its child keeps running, and the next ``dvc repro`` would start the same stage again.
A stage therefore watches the process that started it and stops, as after SIGTERM, when that process is gone.
(Locks protect the seconds in which two of them are alive.)
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
    """Watch DVC's process if DVC runs this one (it sets ``DVC_STAGE``)."""
    if "DVC_STAGE" not in os.environ or "ICSD_FIRST_RANK" in os.environ:  # other ranks end with the first
        return
    import psutil

    try:
        ancestors = psutil.Process().parents()
        owner = next((process for process in ancestors if _is_dvc(process)), None) or ancestors[0]
    except (psutil.Error, IndexError):
        return  # already gone or not visible to this process, so there is nothing to watch
    threading.Thread(target=_watch, args=(owner,), daemon=True, name="end-with-parent").start()


def _is_dvc(process: "psutil.Process") -> bool:
    """Whether a process is DVC itself or ``run``, rather than the shell in which it runs a stage."""
    from icsd.commands.run.known import is_run

    words = process.cmdline()
    return is_run(words) or any(Path(word).name.startswith("dvc") for word in words[:3])


def _watch(owner: "psutil.Process") -> None:
    while _is_alive(owner):
        time.sleep(_POLL_SECONDS)
    print("the process that started this stage is gone; stopping, the same command resumes", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)  # time to write the last record and close the MLflow run
    os._exit(128 + signal.SIGTERM)


def _is_alive(process: "psutil.Process") -> bool:
    """Whether a process is still running; a zombie, which its parent has not reaped yet, is not."""
    import psutil

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
