"""What a worker node does for a stage: clone the checkout, run DVC in it, push the results to DVC's remote.

This module is sent to the nodes by value, so it imports only the standard library: a node has the packages of
the project, but none of its code until it has cloned it.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

GRACE_SECONDS = 25.0
"""Time that a stage may take to end after SIGTERM, since it has a last record to write."""
_PR_SET_PDEATHSIG = 1

Log = Callable[[bytes], object]
"""Receives the output of a stage as it arrives."""


@dataclass(frozen=True)
class Parcel:
    """What all stages of an execution need on a node.

    Attributes:
        bundle: A git bundle with both commits, or its path on a disk that the nodes share.
        commit: The commit that the checkout is at.
        snapshot: A commit of the checkout's files as they are, with what was not committed.
        config: DVC's local configuration: the remote.
        checkout: The checkout's name in MLflow; its runs on all nodes belong together.
        versions: Package -> version that a node must have.
        scratch: Where clones, DVC's cache and states are on a node; None for its folder of temporary files.
        environment: Variables that the nodes do not have by themselves.
    """

    bundle: bytes | str
    commit: str
    snapshot: str
    config: str
    checkout: str
    versions: Mapping[str, str]
    scratch: str | None
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Assignment:
    """One stage for a node.

    Attributes:
        stage: Its name.
        needs: The stages whose outputs it reads.
        run: Prefix of its folders in ``.state/runs``; None if it trains nothing.
        lock: Content of dvc.lock, with the outputs of those stages.
    """

    stage: str
    needs: tuple[str, ...]
    run: str | None
    lock: bytes


def work(parcel: Parcel, task: Assignment, log: Log) -> tuple[int, str]:
    """Run a stage on this node and push its outputs.

    Returns:
        An exit code, and a message about a failure in addition to the log.
    """
    for package, wanted in parcel.versions.items():
        if (found := _version(package)) != wanted:
            return 2, (
                f"{socket.gethostname()} has {package} {found or 'not at all'}, and this checkout runs with "
                f"{wanted}: results would differ; install the same on every node"
            )
    scratch = Path(parcel.scratch or Path(tempfile.gettempdir()) / f"icsd-{os.getuid()}")
    home = scratch / parcel.checkout
    try:
        with _folder(home / "jobs") as folder:
            _clone(parcel, task, folder, cache=scratch / "cache", state=home / "state")
            return _stage(parcel, task, folder, home / "state", log)
    except (OSError, subprocess.CalledProcessError) as error:
        details = getattr(error, "stderr", "") or ""
        return 74, f"{socket.gethostname()}: {error}\n{details}".strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@contextmanager
def _folder(jobs: Path) -> Iterator[Path]:
    """A new folder, removed afterwards; folders that killed workers of this machine left are removed, too."""
    jobs.mkdir(parents=True, exist_ok=True)
    mine = f"{socket.gethostname()}."
    for left in jobs.glob(f"{mine}*"):
        owner = left.name.removeprefix(mine).partition(".")[0]
        if not Path("/proc", owner).exists() and Path("/proc/self").exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{mine}{os.getpid()}.", dir=jobs))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _clone(parcel: Parcel, task: Assignment, folder: Path, *, cache: Path, state: Path) -> None:
    """Clone the checkout as it was at the start, with DVC's remote, this node's cache and state."""
    bundle = parcel.bundle
    if isinstance(bundle, bytes):
        (folder / "bundle").write_bytes(bundle)
        bundle = str(folder / "bundle")
    checkout = _checkout(folder)
    _git(folder, "init", "-q", str(checkout))
    _git(checkout, "fetch", "-q", bundle, "+refs/*:refs/*")
    _git(checkout, "checkout", "-q", "--detach", parcel.commit)
    _git(checkout, "restore", f"--source={parcel.snapshot}", "--worktree", "--", ".")
    (checkout / "dvc.lock").write_bytes(task.lock)
    # Hard links are safe here: only stages work in this clone, and no stage writes into an output in place.
    links = f"[cache]\n    dir = {cache}\n    type = reflink,hardlink,copy\n"
    (checkout / ".dvc/config.local").write_text(parcel.config + links, encoding="utf-8")
    state.mkdir(parents=True, exist_ok=True)
    # A checkout's name is bound to its state folder, so that copies do not share it (icsd.tracking.identity).
    identity = f'{{"id": "{parcel.checkout}", "folder": {state.stat().st_ino}}}\n'
    unfinished = state / f"checkout.json.{os.getpid()}"
    unfinished.write_text(identity, encoding="utf-8")
    unfinished.replace(state / "checkout.json")
    (checkout / ".state").symlink_to(state)
    with (checkout / ".git/info/exclude").open("a", encoding="utf-8") as exclude:
        exclude.write("/.state\n")


def _checkout(folder: Path) -> Path:
    return folder / "checkout"


def _stage(parcel: Parcel, task: Assignment, folder: Path, state: Path, log: Log) -> tuple[int, str]:
    """Pull the inputs, run the stage and push the outputs, all with DVC."""
    checkout = _checkout(folder)
    environment = {
        name: value
        for name, value in os.environ.items()
        # Lightning starts the processes for several GPUs of a node, and must not count SLURM's ranks.
        if not name.startswith(("DVC_", "SLURM_", "SUBMITIT_"))
    }
    environment |= {
        **parcel.environment,
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }

    def call(*arguments: str) -> int:
        return _call([sys.executable, "-m", *arguments], checkout, environment, log)

    if task.needs and (code := call("dvc", "pull", "-q", *task.needs)):
        return code, "its inputs cannot be fetched from DVC's remote"
    if code := call("dvc", "repro", "--single-item", task.stage):
        return code, ""
    if code := call("dvc", "push", "-q", "--run-cache", task.stage):
        return code, "its outputs cannot be sent to DVC's remote"
    if call("pipeline", "deliver"):
        log(f"records for MLflow wait in {state} of {socket.gethostname()}\n".encode())
    for checkpoint in state.glob(f"runs/{task.run}-*/checkpoint*.pt") if task.run else ():
        checkpoint.unlink(missing_ok=True)  # its network is in the remote now
    return 0, ""


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)


def _call(command: list[str], folder: Path, environment: Mapping[str, str], log: Log) -> int:
    """Run a command to its end; it does not outlive this process, however that ends."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        preexec_fn=end_with_parent,
    ) as process:
        assert process.stdout is not None
        try:
            while chunk := process.stdout.read(1 << 16):
                log(chunk)
            return process.wait()
        except BaseException:  # cancelled, or out of time
            process.terminate()
            _drain(process)
            raise


def _drain(process: "subprocess.Popen[bytes]") -> None:
    """Wait until the stage of a terminated DVC has ended as well: it holds the same pipe."""
    until = time.monotonic() + GRACE_SECONDS
    try:
        process.communicate(timeout=max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()


def end_with_parent() -> None:
    """Make Linux send SIGTERM to this process when its parent ends, even if that was killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Work:
    """A stage as a submitit job, which is requeued after a timeout or preemption."""

    def __call__(self, parcel: Parcel, task: Assignment) -> tuple[int, str]:
        """Run it; what it prints is the job's output."""
        print(f"on {socket.gethostname()}", flush=True)
        return work(parcel, task, _print)

    def checkpoint(self, parcel: Parcel, task: Assignment) -> Any:  # noqa: ANN401 - of a package of the node
        """The job that submitit requeues: the same, which resumes from the states in the scratch folder."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, parcel, task)


def _print(content: bytes) -> None:
    sys.stdout.buffer.write(content)
    sys.stdout.flush()


class Logbook:
    """A Ray actor on the driver's machine that writes what stages print on other machines."""

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts
        self._hosts: dict[str, list[str]] = {}

    def begin(self, stage: str, path: str, host: str) -> None:
        """Note that a stage starts on a node, possibly again after Ray has lost its worker."""
        hosts = self._hosts.setdefault(stage, [])
        hosts.append(host)
        line = f"on {host}\n"
        if len(hosts) > 1:
            line = f"its worker on {hosts[-2]} died; attempt {len(hosts)} of {self._attempts}, on {host}\n"
        self.write(path, line.encode())

    def write(self, path: str, content: bytes) -> None:
        """Append to a log."""
        with Path(path).open("ab") as file:
            file.write(content)

    def attempts(self, stage: str) -> list[str]:
        """The machines that a stage was started on."""
        return self._hosts.get(stage, [])


def work_under_ray(parcel: Parcel, task: Assignment, path: str, logbook: Any) -> tuple[int, str]:  # noqa: ANN401
    """Run a stage as a Ray task; Ray restarts it on another worker if this one is lost."""
    import ray

    ray.get(logbook.begin.remote(task.stage, path, socket.gethostname()))
    try:
        return work(parcel, task, lambda chunk: logbook.write.remote(path, chunk))
    finally:
        ray.get(logbook.write.remote(path, b""))  # all earlier writes have arrived now
