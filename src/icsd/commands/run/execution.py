"""The loop: what may start is begun, what has ended is finished, and dvc.lock is written in between."""

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
"""What each stage printed when it last ran."""
_POLL_SECONDS = 0.2
_BUSY_SECONDS = 5.0
_GRACE_SECONDS = 30.0


@dataclass
class Failure:
    """A stage that failed."""

    stage: str
    code: int
    """Of its command; 0 where DVC refused what it made."""
    reason: str
    log: Path | None


@dataclass
class Outcome:
    """What an execution came to."""

    ran: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Not run, since what they need has failed."""
    ended: list[str] = field(default_factory=list)
    """Running when a person stopped the execution."""
    left: list[str] = field(default_factory=list)
    """Not looked at, since the execution was stopped."""


class Watcher(Protocol):
    """Whoever shows an execution to a person."""

    def started(self, stage: str, log: Path) -> None:
        """Its command runs."""

    def settled(self, stage: str, how: str) -> None:
        """It is over: ``ran``, ``restored``, ``unchanged``, ``failed``, ``skipped`` or ``ended``."""

    def said(self, line: str) -> None:
        """A line about the whole."""

    def tick(self) -> None:
        """Time has passed."""


class Stop:
    """Whether, and how firmly, a person asks for the end. Signal handlers write it, the loop reads it."""

    def __init__(self) -> None:
        self.asked = 0
        self.number = 0


class Execution:
    """One call of ``run``.

    Args:
        graph: The stages, and DVC's part of them.
        schedule: Of the stages of the graph.
        place: Where commands are executed.
        watcher: Who is told.
        stop: Whether to go on.
        logs: Folder for what the stages print.
        keep_going: After a failure, whether what does not depend on it is still started.
        force: Whether everything runs, stale or not.
        pull: Whether what is missing is fetched from DVC's remote.
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
            UserError: Another process of DVC works with these stages, before anything was started.
        """
        try:
            with self._graph.scm_context(), self._lock:
                while self._step():
                    self._watcher.tick()
                self._locked(patiently=True)
                self._lock_file.write(last=True)
        except BaseException:
            self._place.cancel(at_once=False)  # nothing works on behind the back of a message
            raise
        finally:
            for begun in self._running.values():
                begun.release()
        self._outcome.left = [stage.addressing for stage in self._schedule.nodes(State.WAITING)]
        return self._outcome

    def _step(self) -> bool:
        """Whatever can be done now; False when nothing is left."""
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
            self._unlock()  # other commands of DVC may work while nothing is to be done here
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
        """While all slots are taken, find a stage in which nothing has changed; whether one was looked at."""
        if self._blocked or self._force or not self._can_begin():
            return False
        for stage in self._schedule.ready():
            if stage not in self._looked_at:
                self._looked_at.add(stage)
                with suppress(Busy, UserError):  # it is looked at again when it is begun
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
        """Another process is at work: before anything was started that is the end, later it is waited for."""
        if not (self._running or self._outcome.ran or self._outcome.restored):
            raise UserError(f"{busy}\nWait for it, or end it, and run this again.") from None
        self._say_once(f"{busy}\nwaiting for it")
        self._blocked = True

    def _finish(self, ended: Ended) -> None:
        """A command has ended."""
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
        """A person asked for the end: jobs keep what they have, and those that do not end are killed."""
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
            Busy: Another command has it, and this does not wait ``patiently``.
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
