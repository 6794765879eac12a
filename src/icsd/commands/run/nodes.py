"""Jobs on other machines: an existing engine starts them there, and restarts them if necessary."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from icsd.commands.run.local import Local, start_in_shell
from icsd.commands.run.node import Assignment
from icsd.commands.run.place import Ended, Job
from icsd.errors import UserError

TRAVELLING = {
    *("train_teacher", "distill", "baselines"),
    *("evaluate_teacher", "evaluate_distilled", "evaluate_baselines"),
}
"""The stages that are sent to nodes. The others read files of this machine (archives, weights) or write files
that DVC does not cache (the report)."""


class Engine(Protocol):
    """Starts stages on nodes."""

    def start(self, task: Assignment, log: Path) -> None:
        """Queue a stage; its output goes to ``log`` as it arrives."""

    def wait(self, seconds: float) -> list[tuple[str, int, str]]:
        """Stages that have ended, with exit codes and messages; waits up to ``seconds`` for the first."""

    def cancel(self, *, at_once: bool) -> None:
        """End all stages; ``wait`` returns them."""

    def close(self) -> None:
        """Release the engine."""


class Nodes:
    """Worker nodes, and this machine for stages that have to stay here.

    Args:
        engine: Where stages of ``TRAVELLING`` run.
        send: Pushes what a stage reads; returns the names of the stages that made it, and their dvc.lock.
        jobs: How many stages may be queued or running.
        runs: Stage that keeps a state while it trains -> prefix of its state folder's name.
    """

    def __init__(
        self,
        engine: Engine,
        send: Callable[[str], tuple[tuple[str, ...], bytes]],
        *,
        jobs: int,
        runs: Mapping[str, str],
    ) -> None:
        self._engine, self._send = engine, send
        self._here = Local([{} for _ in range(jobs)], start_in_shell)
        self._jobs = jobs
        self._runs = runs
        self._away: dict[str, Job] = {}
        self._refused: list[Ended] = []

    def works_here(self, stage: str) -> bool:
        """Whether a stage is not sent to a node."""
        return stage.partition("@")[0] not in TRAVELLING

    def room(self) -> int:
        """How many more stages may be queued; the engine decides when they run."""
        return min(self._here.room(), self._jobs - len(self._away))

    def submit(self, job: Job) -> None:
        """Start a job here, or queue it for a node."""
        if self.works_here(job.stage):
            self._here.submit(job)
            return
        try:
            needs, lock = self._send(job.stage)
        except UserError as error:
            self._refused.append(Ended(job, 74, str(error)))
            return
        self._engine.start(Assignment(job.stage, needs, self._runs.get(job.stage), lock), job.log)
        self._away[job.stage] = job

    def wait(self, seconds: float) -> list[Ended]:
        """The jobs that have ended since the last call; waits up to ``seconds`` for the first one."""
        ended, self._refused = self._refused, []
        if not self._away:
            return ended + self._here.wait(0.0 if ended else seconds)
        ended += self._here.wait(0.0)
        for stage, code, reason in self._engine.wait(0.0 if ended else seconds):
            ended.append(Ended(self._away.pop(stage), code, reason))
        return ended

    def cancel(self, *, at_once: bool) -> None:
        """End all jobs, here and on the nodes."""
        self._here.cancel(at_once=at_once)
        self._engine.cancel(at_once=at_once)

    def close(self) -> None:
        """Release the engine."""
        self._engine.close()
