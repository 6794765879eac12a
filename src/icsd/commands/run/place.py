"""The seam between what is to be done and where: a place executes a stage's command.

``execution`` asks a place for room, hands it jobs, waits for their ends, and stops them all where a person
asks for that. Everything about DVC (is the stage stale, is it in the run cache, save what it made) happens
before a job is submitted and after it has ended, in the one process that ``run`` is.

``Local`` (``local``) is this machine. Another place implements the five methods of ``Place`` and is chosen in
``command``. Nothing else of this folder has to know it:

- ``works_here`` says of a stage whether it works in this checkout: its outputs then lie where DVC expects
  them, and are saved from there. Where it works in a checkout of its own, on another machine, it runs
  ``dvc repro --single-item STAGE`` and ``dvc push --run-cache STAGE`` there, and after exit code 0 the
  stage's outputs are fetched here from the remote through the run cache.
- ``submit`` returns at once. The place writes what the command prints to ``job.log`` while it runs: the
  display reads epochs from it, and its end is what a failure shows.
- A job that a lost worker takes with it may be started again by the place itself; ``execution`` sees only
  the end.
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
    """Lines for a shell, one after the other; the first that fails is the end."""
    folder: Path
    """Where they are run."""
    environment: Mapping[str, str]
    """All of it, as DVC gives it to a stage."""
    log: Path
    """Where what they print goes, as it comes. The file and its folder exist, and it is empty."""


@dataclass(frozen=True)
class Ended:
    """A job that is over."""

    job: Job
    code: int
    """Exit code; negative the signal that ended it, as in ``subprocess``."""
    reason: str = ""
    """What the place has to say about a failure besides the log: a lost worker, a refused allocation."""


class Place(Protocol):
    """Where jobs are executed."""

    def works_here(self, stage: str) -> bool:
        """Whether a stage's job works in this checkout, and not in one of its own."""

    def room(self) -> int:
        """How many more jobs it takes now."""

    def submit(self, job: Job) -> None:
        """Start a job; there is room."""

    def wait(self, seconds: float) -> list[Ended]:
        """The jobs that have ended since the last call; waits that long for the first one."""

    def cancel(self, *, at_once: bool) -> None:
        """End all jobs: as by SIGTERM, so that they keep what they have; ``at_once`` as by SIGKILL.

        Their ends are returned by ``wait``, like those of others.
        """

    def close(self) -> None:
        """Let go of whatever the place holds; no job runs any more."""
