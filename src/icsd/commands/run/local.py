"""Jobs on this machine: one process each, in a fixed number of slots."""

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from icsd.commands.run.place import Ended, Job


class Process(Protocol):
    """A started command, such as ``subprocess.Popen``."""

    pid: int

    def wait(self) -> int:
        """Wait for its exit code."""


class Starter(Protocol):
    """Starts one command line of a job in its own process group."""

    def __call__(self, job: Job, command: str, environment: Mapping[str, str]) -> Process:
        """The process; its group has its own number."""


class Local:
    """This machine.

    Args:
        slots: One per job that may run at a time: its additional environment variables
            (``CUDA_VISIBLE_DEVICES``).
        start: How a command becomes a process.
    """

    def __init__(self, slots: Sequence[Mapping[str, str]], start: Starter) -> None:
        self._free = list(reversed(slots))
        self._start = start
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._running: dict[str, Process | None] = {}
        self._lock = threading.Lock()
        self._cancelled = False

    def works_here(self, stage: str) -> bool:
        """Always True."""
        return True

    def room(self) -> int:
        """How many slots are free."""
        with self._lock:
            return len(self._free)

    def submit(self, job: Job) -> None:
        """Take a slot, and start the job's commands in it."""
        with self._lock:
            slot = self._free.pop()
            self._running[job.stage] = None
        threading.Thread(target=self._work, args=(job, slot), daemon=True, name=job.stage).start()

    def wait(self, seconds: float) -> list[Ended]:
        """The jobs that have ended since the last call; waits up to ``seconds`` for the first one."""
        ended: list[Ended] = []
        with suppress(queue.Empty):
            ended.append(self._ended.get(timeout=seconds))
            while True:
                ended.append(self._ended.get_nowait())
        return ended

    def cancel(self, *, at_once: bool) -> None:
        """Signal every job's process group; no further command of a job is started."""
        with self._lock:
            self._cancelled = True
            for process in self._running.values():
                if process is not None:
                    _signal(process, signal.SIGKILL if at_once else signal.SIGTERM)

    def close(self) -> None:
        """Nothing to release."""

    def _work(self, job: Job, slot: Mapping[str, str]) -> None:
        """Run a job's commands one after the other, in its own thread."""
        code, reason = 0, ""
        for command in job.commands:
            if self._cancelled:
                code = -signal.SIGTERM
                break
            try:
                process = self._start(job, command, {**job.environment, **slot})
                with self._lock:
                    self._running[job.stage] = process
                    if self._cancelled:  # while it was started
                        _signal(process, signal.SIGTERM)
                code = process.wait()
            except OSError as error:
                code, reason = 127, f"cannot be started: {error}"
            finally:
                with self._lock:
                    self._running[job.stage] = None
            if code:
                break
        with self._lock:
            del self._running[job.stage]
            self._free.append(slot)
        self._ended.put(Ended(job, code, reason))


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def start_in_shell(job: Job, command: str, environment: Mapping[str, str]) -> Process:
    """Start a command as DVC does: in the user's shell, without its start-up files."""
    from dvc.stage.run import _make_cmd, get_executable

    with job.log.open("ab") as log:
        # Jobs have their own process groups: Ctrl-C in a terminal must reach only `run`, which ends its jobs.
        return subprocess.Popen(
            _make_cmd(get_executable(), command),
            cwd=job.folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
