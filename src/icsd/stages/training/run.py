"""Stages ``train_teacher``, ``distill`` and ``baselines``: one network from data to weights."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from icsd.core.weighting import term_weights
from icsd.errors import UserError, did_you_mean
from icsd.files import check_writable, exclusive
from icsd.runs import RunKey
from icsd.stages.chosen_weights import weights_source
from icsd.stages.guard import guarded
from icsd.stages.paces import budgeted
from icsd.stages.recording.monitor import student_monitor
from icsd.stages.recording.training import TrainingRecorder, git_record, mlflow_record, open_tracker
from icsd.stages.training.job import Job, student_job, teacher_job
from icsd.stages.training.loaded import load_and_admit
from icsd.stages.training.outputs import cost_of, write_cost, write_result
from icsd.stages.training.process import Run, start_run
from icsd.stages.training.ranks import ended_together
from icsd.stages.training.resuming import restore, state_of
from icsd.stages.training.setup import Setup, set_up
from icsd.stages.training.teacher_cache import teaching
from icsd.stages.validate import checked_params
from icsd.training.checkpoint import save_state
from icsd.training.loop import Progress, fit
from icsd.training.monitor import Monitor, NoMonitor

if TYPE_CHECKING:
    from icsd.tracking import Tracker


def train_teacher(root: Path) -> None:
    """Train the teacher that params.yaml describes, or resume its training; or load and admit it.

    Raises:
        UserError: A teacher that is not trained did not pass the admission test.
    """
    params = checked_params(root)
    _make(root, teacher_job(params), _train_and_write if params.teacher.train else load_and_admit)


def train_student(root: Path, *, method: str, student: str, seed: int) -> None:
    """Train one student of the grid, or resume its training.

    Raises:
        UserError: The method or the student has no block in params.yaml.
    """
    params = checked_params(root)
    for name, blocks, path in (
        (method, params.methods, "methods"),
        (student, params.networks.students, "networks.students"),
    ):
        if name not in blocks:
            raise UserError(
                f"there is no block {path}.{name} in params.yaml{did_you_mean(name, sorted(blocks))}"
            )
    key = RunKey(params.dataset, method, student, seed)
    job = student_job(budgeted(root, params, key), key)
    job = replace(job, weights_source=weights_source(root, params, method=method, student=student))
    _make(root, job, _train_and_write)


def train_trial(root: Path, job: Job, *, open_tracker: Callable[[Path], "Tracker"]) -> Progress:
    """Train a student only for its history, or resume it: no output of the pipeline is written.

    Args:
        root: The repository.
        job: The student.
        open_tracker: Opens the record of this training; called with the folder for its journal.

    Returns:
        How it ended: a row per epoch, as in history.csv, and what it took.

    Raises:
        FloatingPointError: The training diverged.
    """
    run = start_run(root, job)
    with _alone(run):
        setup = set_up(run)
        with open_tracker(run.state / "tracking") as tracker:
            recorder = TrainingRecorder(tracker, job.params, job.key)
            monitor = _monitor(run, setup, recorder)
            progress = restore(run, setup, monitor)
            _fit(run, setup, progress, monitor, recorder)
    return progress


def _make(root: Path, job: Job, make: Callable[[Run], None]) -> None:
    """Let ``make`` write a network's outputs while no other process does."""
    with ended_together():
        run = start_run(root, job)
        if run.fabric.is_global_zero:
            for path in (run.cost, run.checkpoint):
                check_writable(path)
            with guarded(root, job.key.folder), _alone(run):
                run.fabric.barrier()
                make(run)
        else:
            run.fabric.barrier()  # until the first rank holds the lock
            make(run)


def _alone(run: Run) -> AbstractContextManager[None]:
    """Lock the run's state against other processes: a killed ``dvc`` may leave its child training."""
    return exclusive(run.state / "lock", waiting=f"another process is training this run ({run.state})")


def _train_and_write(run: Run) -> None:
    started = datetime.now(UTC)
    setup = set_up(run)
    params, key, first = run.job.params, run.job.key, run.fabric.is_global_zero
    with open_tracker(run.root, params, key, state=run.state, active=first) as tracker:
        recorder = TrainingRecorder(tracker, params, key)
        monitor = _monitor(run, setup, recorder)
        progress = restore(run, setup, monitor)
        diverged = None
        try:
            _fit(run, setup, progress, monitor, recorder)
        except FloatingPointError as error:
            if key.is_teacher:
                raise
            diverged = str(error)
        if first:
            write_result(run, setup, progress, monitor, diverged)
            mlflow, git = mlflow_record(run.root, params, tracker), git_record(run.root)
            cost = cost_of(setup, progress, batch=run.job.training.batch)
            write_cost(run, **cost, started=started, mlflow=mlflow, git=git)
            recorder.end(run.folder, progress.history, diverged=diverged)
    run.fabric.barrier()


def _monitor(run: Run, setup: Setup, recorder: TrainingRecorder) -> Monitor:
    """The monitor of a student; a teacher is not monitored."""
    if run.job.key.is_teacher:
        return NoMonitor()
    return student_monitor(
        run.job.params,
        run.fabric,
        student=setup.student,
        teacher=setup.distiller.teacher,
        teacher_weights=run.teacher_weights,
        data=run.data,
        schedule=setup.schedule,
        on_similarity=recorder.similarity,
    )


def _fit(run: Run, setup: Setup, progress: Progress, monitor: Monitor, recorder: TrainingRecorder) -> None:
    """Train to the last epoch; after each epoch, record it first and then save the checkpoint."""
    job, fabric = run.job, run.fabric
    taught = teaching(run, setup)
    recorder.start(job.numbers, run.data, progress)

    def on_epoch(progress: Progress) -> None:
        taught.account(progress)
        recorder.epoch(progress.history[-1])
        if fabric.is_global_zero:
            save_state(state_of(run, setup, progress, monitor), run.checkpoint)
        fabric.barrier()

    with _told_in_the_words_of_params(job):
        fit(
            fabric,
            *setup.wrapped,
            progress,
            student=setup.student,
            schedule=setup.schedule,
            batches=taught.epoch,
            weights=weighting(job, setup),
            validate=setup.validate,
            monitor=monitor,
            on_epoch=on_epoch,
        )


def weighting(job: Job, setup: Setup) -> Callable[[int], dict[str, float]]:
    """Epoch (from 0) -> weight of each term."""
    return partial(
        term_weights,
        epochs=job.training.epochs,
        terms=setup.distiller.method_terms,
        label_terms=job.training.label_terms,
        weights=job.block["weights"],
        alw=job.alw,
    )


@contextmanager
def _told_in_the_words_of_params(job: Job) -> Iterator[None]:
    """Add the parameters to change to an error that ends the loop."""
    name = job.training_block
    try:
        yield
    except FloatingPointError as error:
        weight = "" if job.key.is_teacher else " or the term's weight"
        raise FloatingPointError(f"{error}; lower {name}.lr{weight}, or set {name}.clip_norm") from error
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UserError(
            f"{name}.batch: a forward pass has one image, and images.crop leaves one position of its deepest "
            "feature map, which BatchNorm cannot normalise: take a larger crop, or more images per process "
            f"({name}.batch, runtime.max_batch_per_device, runtime.devices)"
        ) from error
