"""Stages as SLURM jobs, through submitit."""

import math
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icsd.commands.run import node
from icsd.commands.run.node import Assignment, Parcel
from icsd.errors import UserError, first_line
from icsd.params.cluster import Cluster

_ASK_SECONDS = 10.0
"""Time between two queries to SLURM, which serves the whole cluster."""
_POLL_SECONDS = 0.2
_LATE_SECONDS = 15.0
"""How late a file may appear on a shared disk."""
_MINUTES = 24 * 60
"""Time limit of a job if cluster.slurm sets none."""
_TIMES = 100
"""How often a job that has timed out is requeued."""


@dataclass
class _Submitted:
    """A stage that was submitted to SLURM."""

    task: Assignment
    log: Path
    job: Any
    since: float
    attempt: int = 1
    read: int = 0
    """Bytes of the job's output that are in the log."""
    gone: float | None = None
    """When SLURM was first seen not to list the job."""


class UnderSlurm:
    """A SLURM cluster that sees this checkout's disk.

    Args:
        folder: Folder for submitit's files, on a disk that the nodes share.
        parcel: What all stages need on a node.
        asked: The resources that a stage asks for.
        executor: ``slurm``, or ``local``: submitit's own processes on this machine, to try it out.

    Raises:
        UserError: submitit is not installed, there is no SLURM here, or it does not know a parameter.
    """

    def __init__(self, folder: Path, parcel: Parcel, asked: Cluster, *, executor: str = "slurm") -> None:
        self._executor = _executor(folder, asked, executor)
        self._parcel = parcel
        self._attempts = asked.retries + 1
        self._running: dict[str, _Submitted] = {}
        self._asked_at, self._known = float("-inf"), set[str]()
        self._cancelled = False

    def start(self, task: Assignment, log: Path) -> None:
        """Queue a stage; its output goes to ``log`` as it arrives."""
        self._running[task.stage] = _Submitted(task, log, self._submit(task), time.monotonic())

    def wait(self, seconds: float) -> list[tuple[str, int, str]]:
        """Stages that have ended; waits up to ``seconds`` for the first one."""
        until = time.monotonic() + seconds
        while True:
            ended = [outcome for each in list(self._running.values()) if (outcome := self._outcome(each))]
            if ended or (left := until - time.monotonic()) <= 0:
                return ended
            time.sleep(min(_POLL_SECONDS, left))

    def cancel(self, *, at_once: bool) -> None:
        """End all stages; SLURM itself kills those that do not end after SIGTERM."""
        self._cancelled = True
        for each in self._running.values():
            each.job.cancel(check=False)

    def close(self) -> None:
        """Nothing to release."""

    def _submit(self, task: Assignment) -> Any:  # noqa: ANN401 - submitit's
        self._executor.update_parameters(name=task.stage)
        return self._executor.submit(node.Work(), self._parcel, task)

    def _outcome(self, each: _Submitted) -> tuple[str, int, str] | None:
        """The outcome of a stage; None while it waits or runs, also after it was resubmitted."""
        from submitit.core.utils import FailedJobError

        stage = each.task.stage
        _copy_output(each)
        if not each.job.paths.result_pickle.exists():
            return self._again(each) if self._is_lost(each) else None
        _copy_output(each)  # output that came since
        del self._running[stage]
        try:
            code, reason = each.job.result()
        except FailedJobError as error:
            return stage, 70, f"the job failed: {str(error).strip().splitlines()[-1]}"
        return stage, int(code), str(reason)

    def _again(self, each: _Submitted) -> tuple[str, int, str] | None:
        """Resubmit a stage whose worker was lost; its outcome if there is no further attempt."""
        stage = each.task.stage
        if self._cancelled or each.attempt == self._attempts:
            del self._running[stage]
            return stage, 143, "" if self._cancelled else f"its worker died, {each.attempt} times in all"
        each.attempt += 1
        with each.log.open("ab") as log:
            log.write(f"its worker died; attempt {each.attempt} of {self._attempts}\n".encode())
        each.job, each.since, each.read, each.gone = self._submit(each.task), time.monotonic(), 0, None
        return None

    def _is_lost(self, each: _Submitted) -> bool:
        """Whether a job neither waits nor runs, and has left no result."""
        if type(each.job)._cancel_command != "scancel":
            return bool(each.job.done())  # a process of this machine
        if time.monotonic() - self._asked_at > _ASK_SECONDS:
            # Not submitit's way, `sacct`: it needs a database that small clusters do not have.
            listed = subprocess.run(
                ["squeue", "--me", "--noheader", "--format=%A"], capture_output=True, text=True, check=False
            )
            self._asked_at = time.monotonic()
            if listed.returncode:
                return False  # the controller does not answer just now
            self._known = set(listed.stdout.split())
        if each.since > self._asked_at or each.job.job_id in self._known:
            each.gone = None
        elif each.gone is None:
            each.gone = self._asked_at
        return each.gone is not None and time.monotonic() - each.gone > _LATE_SECONDS


def _executor(folder: Path, asked: Cluster, executor: str) -> Any:  # noqa: ANN401 - submitit's
    try:
        import cloudpickle
        import submitit
    except ImportError:
        raise UserError(
            "`--on slurm` needs the extra `slurm`: `uv sync --extra slurm`, or `pip install submitit`"
        ) from None
    cloudpickle.register_pickle_by_value(node)  # the nodes have no code of this project yet
    given = {"time": _MINUTES, **asked.slurm}
    try:
        made = submitit.AutoExecutor(folder=folder, cluster=executor, slurm_max_num_timeout=_TIMES)
        made.update_parameters(
            cpus_per_task=math.ceil(asked.cpus),
            gpus_per_node=math.ceil(asked.gpus),
            mem_gb=asked.memory,
            timeout_min=given.pop("time"),
            stderr_to_stdout=True,
            **{f"slurm_{key}": value for key, value in given.items()},
        )
    except RuntimeError as error:
        raise UserError(f"{first_line(error)}; `--on slurm` is for a machine that can submit jobs") from None
    except (ValueError, NameError) as error:
        raise UserError(f"cluster.slurm: {error}") from None
    return made


def _copy_output(each: _Submitted) -> None:
    """Append what a job has printed since the last call, from the shared disk to the log."""
    try:
        with each.job.paths.stdout.open("rb") as output:
            output.seek(each.read)
            content = output.read()
    except OSError:
        return
    if content:
        each.read += len(content)
        with each.log.open("ab") as log:
            log.write(content)
