"""The loop: begins stages that may start, finishes those that have ended, writes dvc.lock in between."""

from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from icsd.commands.run.graph import Begun, Busy, Graph, Stage, job_of
from icsd.commands.run.lock_file import LockFile
from icsd.commands.run.place import Ended, Place
from icsd.commands.run.schedule import Schedule, State
from icsd.errors import UserError

LOGS = Path(".state") / "logs" / "run"
"""Folder with the output of each stage's last run."""
_POLL_SECONDS = 0.2
_BUSY_SECONDS = 5.0
_GRACE_SECONDS = 30.0


@dataclass
class Failure:
    """A stage that failed."""

    stage: str
    code: int
    """Exit code of its command; 0 if DVC refused the stage or its outputs."""
    reason: str
    log: Path | None


@dataclass
class Outcome:
    """The result of an execution."""

    ran: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Not run, since a stage that they need has failed."""
    ended: list[str] = field(default_factory=list)
    """Running when the user stopped the execution."""
    left: list[str] = field(default_factory=list)
    """Still waiting when the execution ended."""


class Watcher(Protocol):
    """Displays an execution."""

    def started(self, stage: str, log: Path) -> None:
        """A stage's command has started."""

    def settled(self, stage: str, how: str) -> None:
        """A stage is over: ``ran``, ``restored``, ``unchanged``, ``failed``, ``skipped`` or ``ended``."""

    def said(self, line: str) -> None:
        """A message about the whole execution."""

    def tick(self) -> None:
        """Time has passed."""


class Stop:
    """Whether, and how often, the user has asked to stop. Signal handlers write it, the loop reads it."""

    def __init__(self) -> None:
        self.asked = 0
        self.number = 0


class Execution:
    """One call of ``run``.

    Args:
        graph: The stages, and DVC's work on them.
        schedule: The schedule of the graph's stages.
        place: Where commands are executed.
        watcher: Displays the execution.
        stop: Says whether to stop.
        logs: Folder for the output of the stages.
        keep_going: Whether stages that do not depend on a failed one are still started.
        force: Whether all stages run, stale or not.
        pull: Whether missing data are fetched from DVC's remote.
    """

    def __init__(
        self,
        graph: Graph,
        schedule: Schedule[Stage],
        place: Place,
        watcher: Watcher,
        stop: Stop,
        *,
        logs: Path,
        keep_going: bool = False,
        force: bool = False,
        pull: bool = False,
    ) -> None:
        self._graph, self._schedule, self._place = graph, schedule, place
        self._watcher, self._stop = watcher, stop
        self._logs, self._keep_going, self._force, self._pull = logs, keep_going, force, pull
        self._lock_file = LockFile(graph)
        self._running: dict[str, Begun] = {}
        self._outcome = Outcome()
        self._lock, self._is_locked = ExitStack(), False
        self._blocked = False
        self._looked_at: set[Stage] = set()
        self._last_said = ""

    def run(self) -> Outcome:
        """Execute everything.

        Raises:
            UserError: Another DVC process works with these stages, and nothing was started yet.
        """
        try:
            with self._graph.scm_context(), self._lock:
                while self._step():
                    self._watcher.tick()
                self._locked(patiently=True)
                self._lock_file.write(last=True)
        except BaseException:
            self._place.cancel(at_once=False)  # no job goes on after an error message
            raise
        finally:
            for begun in self._running.values():
                begun.release()
        self._outcome.left = [stage.addressing for stage in self._schedule.nodes(State.WAITING)]
        return self._outcome

    def _step(self) -> bool:
        """Do what can be done now; False when nothing is left."""
        if self._stop.asked:
            self._end_all()
            return False
        self._begin_what_may()
        if not self._running and not self._blocked:
            return False
        ended = self._place.wait(0.0)
        if not ended and self._look_at_one():
            return True
        if not ended or self._lock_file.is_due():
            self._write()
        if not ended:
            self._unlock()  # other DVC commands may run while there is nothing to do here
            ended = self._place.wait(_POLL_SECONDS if self._running else _BUSY_SECONDS)
        for each in ended:
            self._finish(each)
        return True

    def _can_begin(self) -> bool:
        failed = self._outcome.failures and not self._keep_going
        return not failed and not self._stop.asked and bool(self._schedule.ready())

    def _begin_what_may(self) -> None:
        """Begin stages as long as there is room."""
        self._blocked = False
        while self._can_begin() and self._place.room() and not self._blocked:
            self._begin(self._schedule.ready()[0])
            if self._lock_file.is_due():
                self._write()

    def _look_at_one(self) -> bool:
        """While all slots are taken, check a stage and settle it if unchanged; False if none was checked."""
        if self._blocked or self._force or not self._can_begin():
            return False
        for stage in self._schedule.ready():
            if stage not in self._looked_at:
                self._looked_at.add(stage)
                with suppress(Busy, UserError):  # it is checked again when it is begun
                    self._locked()
                    if not self._graph.is_stale(stage):
                        self._settle(stage, "unchanged")
                return True
        return False

    def _begin(self, stage: Stage) -> None:
        try:
            self._locked()
            begun = self._graph.begin(stage, force=self._force, pull=self._pull)
        except Busy as busy:
            self._wait_for(busy)
            return
        except UserError as error:
            self._fail(stage, 0, str(error), None)
            return
        if begun.outcome != "stale":
            self._settle(stage, begun.outcome)
            return
        log = self._logs / f"{stage.addressing.replace('/', '-').replace(':', '-')}.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        self._running[stage.addressing] = begun
        self._schedule.start(stage)
        self._watcher.started(stage.addressing, log)
        self._place.submit(job_of(stage, log))

    def _wait_for(self, busy: Busy) -> None:
        """Wait for another process; if nothing was started yet, raise an error instead."""
        if not (self._running or self._outcome.ran or self._outcome.restored):
            raise UserError(f"{busy}\nWait for it, or end it, and run this again.") from None
        self._say_once(f"{busy}\nwaiting for it")
        self._blocked = True

    def _finish(self, ended: Ended) -> None:
        """Finish a stage whose command has ended."""
        self._locked(patiently=True)
        begun = self._running.pop(ended.job.stage)
        begun.release()
        stage = begun.stage
        if ended.code or ended.reason:
            if self._stop.asked:
                self._outcome.ended.append(stage.addressing)
                self._watcher.settled(stage.addressing, "ended")
            else:
                self._fail(stage, ended.code, ended.reason, ended.job.log)
            return
        try:
            if not self._place.works_here(stage.addressing):
                self._graph.fetch(stage)
            self._graph.finish(stage)
        except UserError as error:
            self._fail(stage, 0, str(error), ended.job.log)
        else:
            self._settle(stage, "ran")

    def _settle(self, stage: Stage, how: str) -> None:
        self._schedule.finish(stage)
        self._lock_file.settle(stage, changed=how != "unchanged")
        getattr(self._outcome, how).append(stage.addressing)
        self._watcher.settled(stage.addressing, how)

    def _fail(self, stage: Stage, code: int, reason: str, log: Path | None) -> None:
        self._outcome.failures.append(Failure(stage.addressing, code, reason, log))
        skipped = self._schedule.fail(stage)
        self._outcome.skipped += [other.addressing for other in skipped]
        for each, how in ((stage, "failed"), *((other, "skipped") for other in skipped)):
            self._lock_file.settle(each, changed=False)
            self._watcher.settled(each.addressing, how)

    def _end_all(self) -> None:
        """The user has asked to stop: let jobs save their state, and kill those that do not end."""
        self._place.cancel(at_once=False)
        waited, firmly = 0.0, False
        while self._running:
            if not firmly and (self._stop.asked > 1 or waited > _GRACE_SECONDS):
                self._place.cancel(at_once=True)
                firmly = True
            for ended in self._place.wait(_POLL_SECONDS):
                self._finish(ended)
            waited += _POLL_SECONDS
            self._watcher.tick()

    def _write(self) -> None:
        if self._lock_file.is_pending():
            self._locked(patiently=True)
            self._lock_file.write()

    def _locked(self, *, patiently: bool = False) -> None:
        """Take DVC's lock, unless it is held.

        Raises:
            Busy: Another command holds it, and this one does not wait ``patiently``.
        """
        while not self._is_locked:
            try:
                self._lock.enter_context(self._graph.locked())
                self._is_locked = True
            except Busy as busy:
                if not patiently:
                    raise
                self._say_once(f"{busy}; waiting for it")

    def _unlock(self) -> None:
        self._lock.close()
        self._is_locked = False

    def _say_once(self, line: str) -> None:
        if line != self._last_said:
            self._watcher.said(line)
            self._last_said = line
