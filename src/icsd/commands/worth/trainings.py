"""The trainings of ``worth``: students that are trained only for their validation mIoU."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from icsd import tracking
from icsd.commands.trials import beside_the_student_alone, forget_journals, open_trial
from icsd.commands.worth.equal_time import EPOCHS, ROUNDS, epochs_in_equal_time, rehearsed
from icsd.commands.worth.store import Store, Trained
from icsd.errors import UserError
from icsd.files import remove_if_free
from icsd.params import Params, digest_of
from icsd.records import Provenance
from icsd.reporting.results import ALONE
from icsd.runs import RunKey
from icsd.stages.provenance import provenance_of
from icsd.stages.training.job import CHECKPOINT, Job, identity_of, student_job
from icsd.stages.training.run import train_trial
from icsd.training.checkpoint import remove_states
from icsd.training.loop import Progress


@dataclass(frozen=True)
class Trainings:
    """The trainings of all methods, which share everything but the method and its number of epochs.

    Attributes:
        root: The repository.
        params: The parameter tree.
        methods: The methods in question; the student alone is trained in addition.
        student: The students' network.
        first_seed: Seed of the rehearsal.
        store: The finished trainings.
    """

    root: Path
    params: Params
    methods: Sequence[str]
    student: str
    first_seed: int
    store: Store

    @property
    def all_methods(self) -> list[str]:
        """The student alone first: the others are compared with it."""
        return [ALONE, *self.methods]

    @cached_property
    def costs(self) -> Mapping[str, float]:
        """Seconds of an epoch by method, measured before the first training."""
        return self._rehearsal[0]

    @property
    def seconds_of_rehearsal(self) -> float:
        """Seconds that measuring the costs took."""
        return self._rehearsal[1]

    def epochs(self, method: str) -> int:
        """The epochs of a method that take as long as the student alone."""
        costs = self.costs
        return epochs_in_equal_time(
            self.params.train.epochs, seconds_alone=costs[ALONE], seconds=costs[method]
        )

    def finished(self, method: str, seed: int) -> Trained | None:
        """A training that was finished before; None if there is none."""
        return self.store.training(self._name(self._job(method, seed, self.epochs(method))))

    def train(self, method: str, seed: int) -> Trained:
        """Train a student, or resume an interrupted training; a finished one is not repeated."""
        if (known := self.finished(method, seed)) is not None:
            return known
        job = self._job(method, seed, self.epochs(method))
        started = time.perf_counter()
        try:
            progress = self._fit(job, partial(self._open_tracker, job.key))
        except FloatingPointError as error:
            print(f"{method}, seed {seed}: diverged ({error})", flush=True)
            progress, miou = Progress(seconds=time.perf_counter() - started), None
        else:
            miou = progress.history[-1]["val/miou"]
        trained = Trained(
            method=method,
            seed=seed,
            epochs=job.training.epochs,
            miou=miou,
            seconds=progress.seconds,
            seconds_saved=progress.seconds_saved,
        )
        self.store.add(self._name(job), trained)
        remove_states(self._state(job) / CHECKPOINT)
        return trained

    def forget(self) -> None:
        """Remove the journals of finished trainings, if MLflow has everything in them."""
        states = [
            RunKey(self.params.dataset, method, self.student, 0).state("*") for method in self.all_methods
        ]
        of_any_seed = [state.with_name(state.name.replace("-0-", "-*-")) for state in states]
        forget_journals(self.root, self.params, of_any_seed)

    @property
    def group(self) -> str:
        """Id of MLflow's parent run, shared by all calls under the same conditions."""
        names = [self._name(self._job(method, self.first_seed, EPOCHS)) for method in self.all_methods]
        return tracking.group_id(self.root, digest_of(sorted(names)), label="worth")

    @cached_property
    def _rehearsal(self) -> tuple[Mapping[str, float], float]:
        jobs = {method: self._rehearsal_job(method) for method in self.all_methods}
        # Sorted: the order in which methods are asked for makes no other question.
        name = digest_of(sorted(self._name(job) for job in jobs.values()))
        if (known := self.store.rehearsal(name)) is not None:
            return known
        print(
            f"rehearsal: {EPOCHS} epochs of {', '.join(jobs)} by turns, {ROUNDS} times, to measure an epoch",
            flush=True,
        )
        total = 0.0

        def seconds_of(method: str) -> float:
            nonlocal total
            job = jobs[method]
            try:
                progress = self._fit(job, lambda _: tracking.NullTracker())
            except FloatingPointError as error:
                others = "" if method == ALONE else ", or ask without it"
                raise UserError(f"{method}: {error}{others}") from error
            remove_if_free(self._state(job))
            total += progress.seconds
            return progress.seconds / job.training.epochs

        costs = dict(rehearsed(self.all_methods, seconds_of))
        self.store.add_rehearsal(name, costs, total)
        return costs, total

    def _rehearsal_job(self, method: str) -> Job:
        """A training of a few epochs with a running teacher."""
        job = self._job(method, self.first_seed, min(EPOCHS, self.params.train.epochs))
        return replace(job, params=_with(job.params, "runtime", teacher_cache="off"))

    def _job(self, method: str, seed: int, epochs: int) -> Job:
        # Last epochs are compared, and gradients and similarity are not monitored. The grid has all trainings
        # with this seed, so that those which read the teacher's logits share a cache.
        params = beside_the_student_alone(self.params)
        params = _with(params, "train", epochs=epochs, budget="epochs", select="last")
        params = _with(params, "monitor", health_steps=0, similarity_every=0)
        params = _with(
            params, "grid", students=[self.student], baselines=self.all_methods, distilled=[], seeds=[seed]
        )
        return student_job(params, RunKey(params.dataset, method, self.student, seed))

    def _fit(self, job: Job, open_tracker: Callable[[Path], tracking.Tracker]) -> Progress:
        return train_trial(self.root, job, open_tracker=open_tracker)

    def _open_tracker(self, key: RunKey, journal: Path) -> tracking.Tracker:
        return open_trial(
            self.root,
            self.params,
            key,
            experiment=tracking.worth_experiment_name(self.params.dataset),
            group=self.group,
            detail=f"seed {key.seed}",
            described={"worth": {}},
            journal=journal,
        )

    def _state(self, job: Job) -> Path:
        return job.key.state(identity_of(job, self._provenance[job.key.method]))

    @cached_property
    def _provenance(self) -> Mapping[str, Provenance]:
        """Method -> what determines its trainings in addition to the parameters; the same for all seeds."""
        jobs = [self._job(method, self.first_seed, EPOCHS) for method in self.all_methods]
        return {job.key.method: provenance_of(self.root, job.params, job.key) for job in jobs}

    def _name(self, job: Job) -> str:
        """The key of a training in the store: its coordinates, and a digest of all that determines it."""
        return self._state(job).name


def _with(params: Params, block: str, **values: Any) -> Params:  # noqa: ANN401 - of any block
    return params.model_copy(update={block: getattr(params, block).model_copy(update=values)})
