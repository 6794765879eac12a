"""The trials of a search: students that are trained only for their validation mIoU."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from icsd import tracking
from icsd.commands.trials import beside_the_student_alone, forget_journals, open_trial
from icsd.commands.tune.factors import scaled
from icsd.commands.tune.study import Study
from icsd.params import Params
from icsd.records import Provenance
from icsd.reporting.results import ALONE
from icsd.runs import RunKey, state_root
from icsd.stages.chosen_weights import with_weights
from icsd.stages.provenance import provenance_of
from icsd.stages.training.job import CHECKPOINT, Job, identity_of, student_job
from icsd.stages.training.run import train_trial
from icsd.stages.tuned_weights import tuned_path
from icsd.training.checkpoint import remove_states

Trial = tuple[float, float | None]
"""A factor and its validation mIoU; None if the training diverged."""


def tuning_folder(dataset: str) -> Path:
    """The folder in which a dataset's searches keep their trials."""
    return state_root() / "tuning" / dataset


@dataclass(frozen=True)
class Trials:
    """The trials of all methods, which share everything but the method.

    Attributes:
        root: The repository.
        params: The parameter tree with the methods' own weights.
        student: The students' network.
    """

    root: Path
    params: Params
    student: str

    @property
    def trained_params(self) -> Params:
        """The tree that trials are trained with: the grid's, with the search's epochs and one device."""
        params = self.params
        epochs = params.tuning.epochs or params.train.epochs
        train = params.train.model_copy(update={"epochs": epochs, "select": "last"})  # the last is compared
        return beside_the_student_alone(params).model_copy(update={"train": train})

    def job(self, method: str, factor: float) -> Job:
        """A trial's student."""
        params = self.trained_params
        weights = {method: scaled(params.methods[method].weights, factor)}
        key = RunKey(params.dataset, method, self.student, params.tuning.seed)
        return student_job(with_weights(params, weights), key)

    def provenance(self, method: str, factor: float = 1.0) -> Provenance:
        """Digests of what determines a trial in addition to the parameters.

        Raises:
            UserError: There is no teacher yet.
        """
        job = self.job(method, factor)
        return provenance_of(self.root, job.params, job.key)

    def identity(self, method: str, factor: float = 1.0) -> str:
        """Hash of everything that determines a trial."""
        return identity_of(self.job(method, factor), self.provenance(method, factor))

    @property
    def table(self) -> Path:
        """The file that lists all trials, for people to read."""
        return self.root / tuned_path(self.params.dataset).with_suffix(".csv")

    @property
    def group(self) -> str:
        """Id of MLflow's parent run, shared by all searches under the same conditions."""
        return tracking.group_id(self.root, self.identity(ALONE), label="tuning")

    def run(self, method: str, factors: Sequence[float]) -> list[Trial]:
        """Train a student for every factor, except those that the study already has."""
        name = f"{method}-{self.student}-{self.identity(method)}"
        study = Study(tuning_folder(self.params.dataset) / "optuna.journal", name)
        miou = study.finished
        for number, factor in enumerate(factors, start=1):
            if factor not in miou:
                print(f"{method}: trial {number} of {len(factors)}, factor {factor:g}", flush=True)
                miou[factor] = self._train(method, factor)
                study.add(factor, miou[factor], largest=self.params.tuning.factor)
                remove_states(self._state(method, factor) / CHECKPOINT)
        return [(factor, miou[factor]) for factor in factors]

    def _train(self, method: str, factor: float) -> float | None:
        job = self.job(method, factor)

        def open_tracker(journal: Path) -> tracking.Tracker:
            return open_trial(
                self.root,
                self.params,
                job.key,
                experiment=tracking.tuning_experiment_name(self.params.dataset),
                group=self.group,
                detail=f"factor {factor:g}",
                described={"tuning": {"factor": factor}},
                journal=journal,
            )

        try:
            progress = train_trial(self.root, job, open_tracker=open_tracker)
        except FloatingPointError as error:
            print(f"{method}: factor {factor:g} diverged ({error})", flush=True)
            return None
        return progress.history[-1]["val/miou"]

    def _state(self, method: str, factor: float) -> Path:
        return self.job(method, factor).key.state(self.identity(method, factor))

    def forget(self, method: str) -> None:
        """Remove the journals of the method's finished trials, if MLflow has everything in them."""
        forget_journals(self.root, self.params, [self.job(method, 1.0).key.state("*")])
