"""The template: a process that has imported what training and evaluation need, and forks stages.

The imports of a stage take seconds of CPU time, and are the same for every stage of a grid. A fork is like a
fresh process after these imports: it has its own environment, folder, output, process group and exit code,
and nothing has started a thread or drawn a random number. ``forks`` is the other side of the two sockets.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from icsd.stages.preload import preload

WITH_TRACKING, WITH_MODELS = "tracking", "models"
_MESSAGE_BYTES = 1 << 20


def serve(control: int, imports: Sequence[str]) -> None:
    """Fork a process for each request until the other side is gone; returns only in the forks.

    A fork returns with the arguments of its command in ``sys.argv``, ready for the command line's ``main``.

    Args:
        control: File descriptor of the socket on which requests come.
        imports: Which of ``WITH_TRACKING`` and ``WITH_MODELS``.
    """
    preload(tracking=WITH_TRACKING in imports, models=WITH_MODELS in imports)
    gc.freeze()  # a collection in a fork would copy every page that it looks at
    sources = _sources()
    requests = socket.socket(fileno=control)
    woken, wake = socket.socketpair()
    for end in (woken, wake):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    jobs: dict[int, socket.socket] = {}
    while True:
        readable, _, _ = select.select([requests, woken], [], [])
        if woken in readable:
            woken.recv(4096)
            _reap(jobs)
        if requests not in readable:
            continue
        message, descriptors, _, _ = socket.recv_fds(requests, _MESSAGE_BYTES, 2)
        if not message:
            os._exit(0)  # the other side is gone; the forks notice that by themselves
        answers = socket.socket(fileno=descriptors[1])
        if _sources(sources) != sources:
            answers.send(b'{"pid": null}')  # the imported code is outdated
            answers.close()
            os.close(descriptors[0])
            continue
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (requests, woken, wake, answers, *jobs.values()):
                each.close()
            _become(json.loads(message), log=descriptors[0])
            return
        jobs[pid] = answers
        os.close(descriptors[0])
        answers.send(json.dumps({"pid": pid}).encode())


def _reap(jobs: dict[int, socket.socket]) -> None:
    """Pass on the exit codes of forks that have ended."""
    while jobs:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        answers = jobs.pop(pid)
        with suppress(OSError):  # nobody waits for it any more
            answers.send(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode())
        answers.close()


def _become(request: dict[str, Any], *, log: int) -> None:
    """Turn this fork into the process that the request describes."""
    os.setpgid(0, 0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(log)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv[1:] = request["arguments"]
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # `random` does so by itself; otherwise all forks would draw the same numbers


def _sources(among: dict[str, tuple[int, int]] | None = None) -> dict[str, tuple[int, int]]:
    """Modification time and size of every imported file of this project, or of the given files."""
    if among is None:
        root = Path.cwd().resolve()
        files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        names = [file for file in files if file and Path(file).resolve().is_relative_to(root)]
        names = [name for name in names if "site-packages" not in name]
    else:
        names = list(among)
    found = {}
    for name in names:
        try:
            stat = os.stat(name)  # noqa: PTH116 - hundreds of them before every stage
        except OSError:
            continue
        found[name] = (stat.st_mtime_ns, stat.st_size)
    return found
