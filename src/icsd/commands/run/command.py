"""The command itself: from options to a place, a display, an execution and an exit code."""

import logging
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from icsd.commands.run.dry import foretold
from icsd.commands.run.durations import Durations
from icsd.commands.run.engines import nodes_of
from icsd.commands.run.execution import LOGS, Execution, Outcome, Stop, Watcher
from icsd.commands.run.forks import Forks
from icsd.commands.run.graph import Busy, Graph
from icsd.commands.run.lines import Lines
from icsd.commands.run.local import Local
from icsd.commands.run.outlook import Outlook, urgency
from icsd.commands.run.place import Place
from icsd.commands.run.schedule import Schedule
from icsd.commands.run.summary import summary
from icsd.commands.signals import handled
from icsd.errors import UserError
from icsd.machine import cores
from icsd.params import Params, load_params

_LOCK = Path(".state") / "locks" / "run.lock"
_SECONDS = Path(".state") / "run" / "seconds.json"
_INTERRUPTED, _TERMINATED, _FAILED = 130, 143, 1


def run(
    root: Path,
    targets: Sequence[str] = (),
    *,
    jobs: int | None = None,
    gpus: Sequence[str] = (),
    per_gpu: int = 1,
    keep_going: bool = False,
    force: bool = False,
    pull: bool = False,
    downstream: bool = False,
    dry: bool = False,
    on: str | None = None,
) -> int:
    """Execute stale stages, several at a time.

    Args:
        root: The repository.
        targets: Stages to run, with the stages that they need; all stages if empty.
        jobs: Jobs at a time; by default as many as the cores allow with ``runtime.threads`` each, or as there
            are slots on the GPUs.
        gpus: Numbers of GPUs; each job sees one of them.
        per_gpu: Jobs at a time on each GPU.
        keep_going: Whether a failure stops only what depends on it.
        force: Whether to run up-to-date stages as well.
        pull: Whether to fetch results that others have pushed.
        downstream: Whether to run the targets and the stages that depend on them, not those that they need.
        dry: Only print what would run.
        on: ``ray`` or ``slurm``, to run the stages that train and evaluate there; None for this machine.

    Returns:
        Exit code: 0, that of the failed stage (1 if there are several), or 130 or 143 if stopped.

    Raises:
        UserError: Nothing could be started: no such stage, a mistake in dvc.yaml, another process is running.
    """
    if not (root / ".dvc").is_dir():
        raise UserError(f"{root}: not a DVC repository; run from the root of the repository")
    if on and (gpus or force):
        what = "--gpus is for this machine; `cluster` in params.yaml says what a stage gets"
        raise UserError(
            f"--on {on}: {'results come through the run cache, against --force' if force else what}"
        )
    with _alone(root):
        try:
            graph = Graph(root, targets, downstream=downstream)
            durations = Durations(root / _SECONDS, graph.costs())
            if dry:
                print(*foretold(graph, durations, force=force), sep="\n")
                return 0
            nodes = nodes_of(on, root, graph, jobs=jobs) if on else None
            pull = pull or bool(nodes)  # to use what earlier jobs have pushed
            if pull:
                graph.pull_run_cache()
        except Busy as busy:
            raise UserError(f"{busy}; wait for it, and run this again") from None
        logs = root / LOGS
        logs.mkdir(parents=True, exist_ok=True)
        params = _params(root)
        forks = Forks(root, _imports(params), logs / "forks.txt")
        place: Place = nodes or Local(_slots(params, jobs, gpus, per_gpu), forks.start)
        schedule = Schedule(
            graph.order,
            graph.needs,
            urgency(graph.order, graph.needs, lambda stage: durations.expected(stage.addressing) or 0.0),
        )
        outlook = Outlook(schedule, graph.needs, durations, place.room())
        with closing(forks), closing(place), _shown(outlook) as watcher, _heard_signals() as stop:
            outcome = Execution(
                graph,
                schedule,
                place,
                watcher,
                stop,
                logs=logs,
                keep_going=keep_going,
                force=force,
                pull=pull,
            ).run()
    print(summary(outcome, stopped=bool(stop.asked)), flush=True)
    return _exit_code(outcome, stop)


def _exit_code(outcome: Outcome, stop: Stop) -> int:
    if stop.asked:
        return _INTERRUPTED if stop.number == signal.SIGINT else _TERMINATED
    if len(outcome.failures) == 1 and outcome.failures[0].code > 0:
        return outcome.failures[0].code
    return _FAILED if outcome.failures else 0


def _params(root: Path) -> Params | None:
    """The parameters; None if params.yaml has mistakes, which ``validate`` reports."""
    try:
        return load_params(root)
    except UserError:
        return None


def _slots(
    params: Params | None, jobs: int | None, gpus: Sequence[str], per_gpu: int
) -> list[Mapping[str, str]]:
    """Additional environment variables for each of the jobs that run at a time."""
    if gpus:
        each = [{"CUDA_VISIBLE_DEVICES": gpu} for _ in range(per_gpu) for gpu in gpus]
        return [*each[:jobs]]
    if jobs is None:
        jobs = max(1, cores() // (params.runtime.threads if params else 1))
    return [{} for _ in range(jobs)]


@contextmanager
def _shown(outlook: Outlook) -> Iterator[Watcher]:
    """A display for a terminal or for plain output, which also shows DVC's warnings."""
    if sys.stdout.isatty():
        from icsd.commands.run.screen import Screen

        with Screen(outlook) as screen, _heard_dvc(screen):
            yield screen
    else:
        lines = Lines(outlook, lambda line: print(line, flush=True))
        with _heard_dvc(lines):
            yield lines


@contextmanager
def _heard_dvc(watcher: Watcher) -> Iterator[None]:
    """Show DVC's warnings through the display, which they would garble, and drop its other messages."""

    class Passing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            watcher.said(record.getMessage())

    logger = logging.getLogger("dvc")
    former = logger.handlers[:], logger.level
    logger.handlers[:] = [Passing()]
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.handlers[:], level = former
        logger.setLevel(level)


def _imports(params: Params | None) -> list[str]:
    """What the template imports for tracking: names in ``template``."""
    if params is None or not params.tracking.enabled:
        return []
    return ["tracking", *(["models"] if params.tracking.models else [])]


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Allow one ``run`` at a time in a checkout."""
    path = root / _LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            "another `python -m pipeline run` is at work in this checkout; wait for it, or end it"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _heard_signals() -> Iterator[Stop]:
    """Turn signals into a request to stop, so that none interrupts DVC while it writes a file."""
    stop = Stop()

    def ask(number: int, _: object) -> None:
        stop.asked += 1
        stop.number = number

    with handled(ask):
        yield stop
