"""A student's training step as in its training: images, networks, losses, optimiser."""

from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path

from icsd.commands.pace.turns import by_turns, clock_for
from icsd.commands.trials import beside_the_student_alone
from icsd.params import Params
from icsd.reporting.results import ALONE
from icsd.runs import RunKey
from icsd.stages.device import device_name
from icsd.stages.paces import Pace, determined_by
from icsd.stages.training.job import student_job
from icsd.stages.training.process import Run, start_run
from icsd.stages.training.run import weighting
from icsd.stages.training.setup import Setup, set_up
from icsd.training.loop import Batches, train_epoch
from icsd.training.monitor import NoMonitor


def measure(root: Path, params: Params, *, method: str, student: str, rounds: int) -> Pace:
    """The pace of a method with a student, on one device; nothing is written.

    Args:
        root: The repository, with prepared data and a teacher.
        params: The whole parameter tree.
        method: A block of params.yaml that has a loss.
        student: A block of params.yaml.
        rounds: Timed steps of the method, and of the student alone.

    Raises:
        UserError: The data are not prepared, there is no teacher, or the batch size is invalid.
    """
    train = params.train.model_copy(update={"budget": "epochs"})
    params = beside_the_student_alone(params).model_copy(update={"train": train})
    seed = params.grid.seeds[0]
    run, own = _step(root, params, RunKey(params.dataset, method, student, seed))
    _, alone = _step(root, params, RunKey(params.dataset, ALONE, student, seed))
    runtime, device = params.runtime, run.fabric.device
    clock = clock_for(on_cpu=device.type == "cpu", threads=runtime.threads, workers=runtime.workers)
    turns = by_turns(own, alone, rounds=rounds, clock=clock)
    return Pace(
        pace=max(1.0, round(turns.ratio, 2)),  # less is noise: a method's step includes the student's
        milliseconds=round(1e3 * turns.seconds, 2),
        milliseconds_alone=round(1e3 * turns.seconds_alone, 2),
        rounds=rounds,
        device=device_name(device),
        threads=runtime.threads,
        precision=runtime.precision,
        of=determined_by(params, run.job.key),
    )


def _step(root: Path, params: Params, key: RunKey) -> tuple[Run, Callable[[], None]]:
    """A run, and a function that does one step per call. The teacher runs in each step: nothing is cached."""
    run = start_run(root, student_job(params, key))
    setup = set_up(run)
    weights = weighting(run.job, setup)(0)
    shares = _shares(setup)

    def step() -> None:
        # Ends with reading the losses, so a GPU is done by then.
        train_epoch(run.fabric, *setup.wrapped, next(shares), 0, setup.schedule, weights, NoMonitor())

    return run, step


def _shares(setup: Setup) -> Iterator[Batches]:
    """The batches of each step, in an endless stream; loaded when the step asks for them."""
    parts = setup.schedule.micro_batches
    for epoch in count():
        batches = iter(setup.batches.epoch(epoch))
        for _ in range(setup.schedule.steps):
            yield islice(batches, parts)
