"""The interface between what is executed and where: a place executes a stage's command.

``execution`` asks a place for room, submits jobs, waits for them to end, and stops them all if the user asks
for that. Everything about DVC (whether the stage is stale or in the run cache, saving its outputs) happens
before a job is submitted and after it has ended, in the process of ``run``.

``Local`` (``local``) is this machine. Another place implements the methods of ``Place`` and is chosen in
``command``. Nothing else in this folder has to know it:

- ``works_here`` says whether a stage runs in this checkout: its outputs then are where DVC expects them, and
  are saved from there. A stage that runs in another checkout, on another machine, runs ``dvc repro
  --single-item STAGE`` and ``dvc push --run-cache STAGE`` there; after exit code 0 its outputs are fetched
  from the remote through the run cache.
- ``submit`` returns at once. The place writes what the command prints to ``job.log`` while it runs: the
  display reads epochs from it, and a failure shows its last lines.
- A place may restart a job whose worker was lost; ``execution`` sees only the final end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Job:
    """A stage's command, ready to be executed."""

    stage: str
    """Its name in dvc.yaml, as ``dvc repro`` takes it: ``baselines@kd-resnet18-0``."""
    commands: tuple[str, ...]
    """Command lines for a shell, run one after the other until one fails."""
    folder: Path
    """The working directory."""
    environment: Mapping[str, str]
    """The whole environment, as DVC gives it to a stage."""
    log: Path
    """The file for the output, as it arrives. It exists already and is empty."""


@dataclass(frozen=True)
class Ended:
    """A job that is over."""

    job: Job
    code: int
    """Exit code; negative for the signal that ended it, as in ``subprocess``."""
    reason: str = ""
    """The place's message about a failure, in addition to the log: a lost worker, a refused allocation."""


class Place(Protocol):
    """Where jobs are executed."""

    def works_here(self, stage: str) -> bool:
        """Whether a stage's job runs in this checkout, and not in its own."""

    def room(self) -> int:
        """How many more jobs it takes now."""

    def submit(self, job: Job) -> None:
        """Start a job; there is room."""

    def wait(self, seconds: float) -> list[Ended]:
        """The jobs that have ended since the last call; waits up to ``seconds`` for the first one."""

    def cancel(self, *, at_once: bool) -> None:
        """End all jobs: as with SIGTERM, so that they save their state, or ``at_once`` as with SIGKILL.

        ``wait`` returns them like other jobs.
        """

    def close(self) -> None:
        """Release the place's resources; no job is running any more."""
