"""Starts stages as forks of a process that has imported what they need, and other commands in a shell.

Forks are used only on Linux, and only for this project's own commands that train or evaluate: the others
import little, and a user's command has to run as it is. If anything is not as expected (source files have
changed since they were imported, another Python, no fork), the command is started as DVC starts it.
"""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from icsd.commands.run.local import Process, start_in_shell
from icsd.commands.run.place import Job

COMMAND = "--forks"
"""The argument that turns the entry point into the template process, from which stages are forked."""
_FORKED = {"train-teacher", "train-student", "evaluate"}
_MESSAGE_BYTES = 1 << 16
_POLL_SECONDS = 0.2


def arguments_of(command: str, environment: Mapping[str, str]) -> list[str] | None:
    """The entry point's arguments in a command line that a fork can execute; None for any other.

    >>> arguments_of("python -m pipeline evaluate --method kd && echo done", {})
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if words[1:3] != ["-m", "pipeline"] or len(words) < 4 or words[3] not in _FORKED:
        return None
    if shlex.join(words) != command or not _is_ours(words[0], environment):
        return None  # a shell would interpret it differently
    return words[3:]


def _is_ours(name: str, environment: Mapping[str, str]) -> bool:
    """Whether a shell would start this very Python under that name."""
    found = shutil.which(name, path=environment.get("PATH", os.defpath))
    return found is not None and Path(found).absolute().parent == Path(sys.executable).absolute().parent


class Forks:
    """Starts commands; the template process is started with the first command that is forked from it.

    Args:
        root: The repository, whose code the template imports.
        imports: What the template imports in addition to the stages: names in ``template``.
        log: File for the template's own output.
    """

    def __init__(self, root: Path, imports: Sequence[str], log: Path) -> None:
        self._root, self._imports, self._log = root, imports, log
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._template: subprocess.Popen[bytes] | None = None
        self._is_usable = sys.platform == "linux"

    def start(self, job: Job, command: str, environment: Mapping[str, str]) -> Process:
        """Start a command of a job in its own process group."""
        arguments = arguments_of(command, environment) if self._is_usable else None
        if arguments is not None and job.folder == self._root:
            try:
                return self._fork(job, arguments, environment)
            except (OSError, ValueError):
                self._is_usable = False
        return start_in_shell(job, command, environment)

    def close(self) -> None:
        """End the template; it has no forks any more."""
        if self._control is not None:
            self._control.close()
        if self._template is not None:
            try:
                self._template.wait(timeout=5)
            except subprocess.TimeoutExpired:  # it is still importing
                self._template.kill()
                self._template.wait()

    def _fork(self, job: Job, arguments: Sequence[str], environment: Mapping[str, str]) -> Process:
        request = {"arguments": arguments, "environment": dict(environment), "folder": str(job.folder)}
        answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs, job.log.open("ab") as log, self._lock:
                given = [log.fileno(), theirs.fileno()]
                socket.send_fds(self._opened(), [json.dumps(request).encode()], given)
            answer = answers.recv(_MESSAGE_BYTES)
            pid = json.loads(answer)["pid"] if answer else None
            if pid is None:
                raise OSError("no process to fork from")
        except BaseException:
            answers.close()
            raise
        return _Fork(pid, answers)

    def _opened(self) -> socket.socket:
        if self._control is None:
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs, self._log.open("wb") as log:
                self._template = subprocess.Popen(
                    [sys.executable, "-m", "pipeline", COMMAND, str(theirs.fileno()), *self._imports],
                    cwd=self._root,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(theirs.fileno(),),
                    process_group=0,
                )
        return self._control


class _Fork:
    """A fork, with the interface of ``subprocess.Popen``."""

    def __init__(self, pid: int, answers: socket.socket) -> None:
        self.pid = pid
        self._answers = answers

    def wait(self) -> int:
        """Wait for the exit code. If the template is lost, end the fork, too."""
        answer = b""
        with self._answers, suppress(ConnectionError):
            answer = self._answers.recv(_MESSAGE_BYTES)
        if answer:
            return int(json.loads(answer)["code"])
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)
        while psutil.pid_exists(self.pid):
            time.sleep(_POLL_SECONDS)
        return -signal.SIGTERM
