"""The processes of a stage that trains on several devices: the first rank starts them and ends with them.

If a process died, the others would wait for it in code that no exception can interrupt. The first rank
therefore watches the others and, if one fails, ends the stage with that rank's error; the others end when the
first rank is gone. Only the first rank writes to the terminal. Under a launcher that starts the processes
itself (torchrun, SLURM), this module does nothing.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment

from icsd.errors import UserError

_FIRST = "ICSD_FIRST_RANK"
"""Environment variable of all ranks but the first: the process id of the first rank."""
_POLL_SECONDS = 0.2
_GRACE_SECONDS = 1.0
"""Time that the first rank has to report an error by itself, and the others to end."""
_VERDICT_SECONDS = 10.0
"""How long an error of the first rank is held back, since a failure of another rank may have caused it."""
_KEPT = "Finished epochs are kept in .state/; the same command resumes from there"
_CONSEQUENCES = ("gloo", "NCCL", "Connection", "DistNetworkError", "terminated.")
"""Words in the error of a rank that has lost another rank."""


@dataclass(frozen=True)
class _Other:
    rank: int
    process: subprocess.Popen[bytes]
    words: IO[bytes]

    def last_words(self) -> str:
        self.words.seek(0)
        lines = self.words.read().decode(errors="replace").strip().splitlines()
        return "\n".join(lines[-8:]).removeprefix("error: ")


_others: list[_Other] = []
_settled = threading.Event()


def start_others(environment: ClusterEnvironment, processes: int) -> None:
    """Start the other ranks of this machine with this process's command; they print nothing."""
    if processes == 1 or environment.creates_processes_externally:
        return
    main = sys.modules["__main__"]
    module = main.__spec__
    program = ["-m", module.name] if module is not None else [sys.argv[0]]
    place = {
        "MASTER_ADDR": environment.main_address,
        "MASTER_PORT": str(environment.main_port),
        "NODE_RANK": str(environment.node_rank()),
        _FIRST: str(os.getpid()),
    }
    for rank in range(1, processes):
        words = tempfile.TemporaryFile()  # noqa: SIM115 - until this process ends
        process = subprocess.Popen(
            [sys.executable, *program, *sys.argv[1:]],
            env={**os.environ, **place, "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=words,
        )
        _others.append(_Other(rank, process, words))
    del place[_FIRST]
    os.environ.update(place, LOCAL_RANK="0")  # tells Fabric that all ranks are started
    threading.Thread(target=_watch_others, daemon=True, name="other-ranks").start()


@contextmanager
def ended_together() -> Iterator[None]:
    """Run all of a rank's work in the block: no rank outlives it, and the first rank reports any failure."""
    if first := os.environ.get(_FIRST):
        threading.Thread(target=_watch_first, args=(int(first),), daemon=True, name="first-rank").start()
    try:
        yield
    except (UserError, FloatingPointError, KeyboardInterrupt, SystemExit):
        _settled.set()
        _stop()
        raise
    except BaseException:
        if _others:
            time.sleep(_VERDICT_SECONDS)  # the thread ends this process, if another rank has failed
        _settled.set()
        _stop()
        raise
    _settled.set()
    for other in _others:
        with suppress(subprocess.TimeoutExpired):
            other.process.wait(60)
    _stop()


def _watch_others() -> None:
    while not any(other.process.poll() for other in _others):
        if _settled.wait(_POLL_SECONDS):
            return
    if _settled.wait(_GRACE_SECONDS):
        return
    failed = [other for other in _others if other.process.poll()]
    cause = min(failed, key=lambda other: any(word in other.last_words() for word in _CONSEQUENCES))
    print(_sentence(cause), file=sys.stderr, flush=True)
    _stop()
    code = cause.process.returncode
    os._exit(code if code > 0 else 128 - code)


def _sentence(cause: _Other) -> str:
    code, words = cause.process.returncode, cause.last_words()
    name = f"rank {cause.rank} of {len(_others) + 1}"
    if code < 0:
        end = f"{name} was killed by {signal.Signals(-code).name}"
    else:
        end = f"{name}: {words}" if words else f"{name} ended with code {code}"
    return f"error: {end}\n  The other processes were stopped. {_KEPT}"


def _stop() -> None:
    """End the other ranks; a rank that waits for another one only reacts to SIGKILL."""
    for other in _others:
        other.process.terminate()
    deadline = time.monotonic() + _GRACE_SECONDS
    for other in _others:
        with suppress(subprocess.TimeoutExpired):
            other.process.wait(max(0.0, deadline - time.monotonic()))
        other.process.kill()


def _watch_first(first: int) -> None:
    while os.getppid() == first:
        time.sleep(_POLL_SECONDS)
    os._exit(128 + signal.SIGTERM)
