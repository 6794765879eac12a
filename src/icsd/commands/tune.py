"""``python -m pipeline tune``: the same search for the weights of every method, on the validation split.

One number is searched per method: the factor on all its weights. A method with three terms would otherwise
need, or get, a larger search than one with a single term; the ratio of its terms is part of the method as
it was published. The factors are the same for all methods, spread evenly on a logarithmic scale, and do not
depend on former trials: a sampler that learns from its trials has nothing to learn from so few, would follow
the noise of single trainings, and would search differently for each method.

Optuna keeps the trials. Its MLflow callback would stop the search whenever the tracking server is away, so
trials are recorded like any other training: in a journal first, then in MLflow.
"""

import csv
import io
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from icsd import tracking
from icsd.data.shards import read_manifest
from icsd.errors import UserError, did_you_mean
from icsd.files import write_bytes
from icsd.params import MethodBlock, Params, has_validation
from icsd.runs import RunKey, data_folder, state_root
from icsd.stages.provenance import provenance_of
from icsd.stages.training.run import CHECKPOINT, Job, identity_of, student_job, train_trial
from icsd.stages.tuned_weights import (
    Provenance,
    Tuned,
    read_tuned,
    tunable,
    tuned_path,
    with_weights,
    write_tuned,
)
from icsd.stages.validate import checked_params
from icsd.training.checkpoint import exclusive

if TYPE_CHECKING:
    import optuna

ALONE = "none"
_SPLIT = "validation"
_COLUMNS = ("method", "trial", "factor", "miou")


def tune(root: Path, *, methods: Sequence[str], trials: int | None, student: str | None) -> None:
    """Search the weights of ``methods`` and merge them into configs/tuned/<dataset>.yaml.

    Finished trials are not repeated, and an interrupted one goes on, as long as nothing has changed that
    determines them.

    Args:
        root: The repository.
        methods: Blocks of params.yaml; empty for those of the grid.
        trials: Students per method; None for ``tuning.trials``.
        student: Backbone; None for the first of the grid.

    Raises:
        UserError: Something that is asked for does not exist, or would be no fair search.
    """
    params = checked_params(root, given=True)
    student = student or params.grid.students[0]
    methods = list(dict.fromkeys(methods)) or tunable(params)
    trials = params.tuning.trials if trials is None else trials
    _refuse(root, params, methods=methods, trials=trials, student=student)
    tuning = params.tuning.model_copy(update={"trials": trials})
    search = _Search(root, params.model_copy(update={"tuning": tuning}), student)
    with exclusive(state_root() / "tuning" / params.dataset):
        [(_, alone)] = search.trials(ALONE, [1.0])
        if alone is None:
            raise UserError("the student alone diverged: lower train.lr, or set train.clip_norm")
        _write_trials(root, params.dataset, ALONE, [(1.0, alone)])
        for method in methods:
            found = search.trials(method, factors(trials, tuning.factor))
            tuned = _chosen(search, method, found, alone=alone)
            _write_trials(root, params.dataset, method, found)
            write_tuned(root, params.dataset, {**read_tuned(root, params.dataset), method: tuned})
            _track(search, method, tuned.provenance)
            print(_summary(method, tuned.provenance), flush=True)
        for method in (ALONE, *methods):
            search.forget(method)
    print(tuned_path(params.dataset), flush=True)


def factors(trials: int, largest: float) -> list[float]:
    """Factors between ``1 / largest`` and ``largest``, 1 first, to three digits.

    They are the points of van der Corput's sequence in base 2 (1/2, 1/4, 3/4, 1/8, …) on a logarithmic scale:
    each prefix is spread as evenly as can be, and more trials add to fewer.
    """
    points = (int(f"{number:b}"[::-1], 2) / 2 ** number.bit_length() for number in range(1, trials + 1))
    return [float(f"{largest ** (2 * point - 1):.3g}") for point in points]


def best_factor(miou: Mapping[float, float]) -> float:
    """The factor with the highest mIoU; of equals, the one nearest to 1, the block's own weights."""
    return max(miou, key=lambda factor: (miou[factor], -abs(math.log(factor))))


def _refuse(root: Path, params: Params, *, methods: Sequence[str], trials: int, student: str) -> None:
    for method in methods:
        if method not in params.methods:
            known = sorted(params.methods)
            raise UserError(f"--methods: there is no block methods.{method}{did_you_mean(method, known)}")
        if not params.methods[method].weights:
            raise UserError(f"--methods: {method} has no weights to tune")
    if student not in params.networks.students:
        known = sorted(params.networks.students)
        raise UserError(
            f"--student: there is no block networks.students.{student}{did_you_mean(student, known)}"
        )
    if trials < 1:
        raise UserError(f"--trials: must be at least 1, got {trials}")
    if params.tuning.seed in params.grid.seeds:
        raise UserError(
            f"tuning.seed: {params.tuning.seed} is one of grid.seeds, which are reported: take another"
        )
    if not has_validation(params.data):
        raise UserError(
            f"{params.dataset} has no validation images, and the reported ones are not for tuning: set "
            "data.holdout, the number of training images to keep for it, and run `dvc repro train_teacher`"
        )
    if _SPLIT not in read_manifest(root / data_folder(params.dataset))["splits"]:
        raise UserError(
            "data.holdout: the data was prepared without validation images: run `dvc repro train_teacher`"
        )


@dataclass(frozen=True)
class _Search:
    """What all methods share: the numbers and the backbone."""

    root: Path
    given: Params
    student: str

    @property
    def params(self) -> Params:
        """The tree that trials are trained with: the grid's but for seed and epochs, on one device."""
        given = self.given
        epochs = given.tuning.epochs or given.train.epochs
        # The last epoch is what is compared; a trial is one process, which records it.
        train = given.train.model_copy(update={"epochs": epochs, "select": "last"})
        runtime = given.runtime.model_copy(update={"devices": 1, "num_nodes": 1})
        methods = {**given.methods, ALONE: MethodBlock(alw=False, weights={})}
        return given.model_copy(update={"train": train, "runtime": runtime, "methods": methods})

    def job(self, method: str, factor: float) -> Job:
        """A trial's student."""
        weights = {method: scaled(self.params.methods[method].weights, factor)}
        key = RunKey(self.given.dataset, method, self.student, self.given.tuning.seed)
        return student_job(with_weights(self.params, weights), key)

    def identity(self, method: str, factor: float = 1.0) -> str:
        """Hash of all that determines a trial."""
        job = self.job(method, factor)
        return identity_of(job, provenance_of(self.root, job.params, job.key))

    @property
    def experiment(self) -> str:
        """MLflow's experiment."""
        return f"icsd-{self.given.dataset}-tuning"

    @property
    def group(self) -> str:
        """MLflow's parent run: all that was tuned under the same conditions."""
        return f"tuning-{self.identity(ALONE)}"

    def trials(self, method: str, factors: Sequence[float]) -> list[tuple[float, float | None]]:
        """Factor and validation mIoU of every trial, None where it diverged; known ones are not repeated."""
        study = _open_study(self.given.dataset, f"{method}-{self.student}-{self.identity(method)}")
        found = _finished(study)
        for number, factor in enumerate(factors, start=1):
            if factor not in found:
                print(f"{method}: trial {number} of {len(factors)}, factor {factor:g}", flush=True)
                found[factor] = self._train(method, factor)
                _add(study, factor, found[factor], largest=self.given.tuning.factor)
                (self._state(method, factor) / CHECKPOINT).unlink(missing_ok=True)
        return [(factor, found[factor]) for factor in factors]

    def _train(self, method: str, factor: float) -> float | None:
        def open_tracker(journal: Path) -> tracking.Tracker:
            return self._open_tracker(method, factor, journal)

        try:
            history = train_trial(self.root, self.job(method, factor), open_tracker=open_tracker)
        except FloatingPointError as error:
            print(f"{method}: factor {factor:g} diverged ({error})", flush=True)
            return None
        return history[-1]["val/miou"]

    def _open_tracker(self, method: str, factor: float, journal: Path) -> tracking.Tracker:
        params = self.given
        tracker = tracking.open_tracker(
            root=self.root,
            experiment=self.experiment,
            group=self.group,
            name=f"{method} · {self.student} · factor {factor:g}",
            tags={
                "icsd.kind": "trial",
                "icsd.method": method,
                "icsd.student": self.student,
                "icsd.seed": str(params.tuning.seed),
                "icsd.dataset": params.dataset,
            },
            state=journal,
            enabled=params.tracking.enabled,
            system_metrics=params.tracking.system_metrics,
        )
        tracker.params({"tuning": {"factor": factor, "split": _SPLIT}})
        return tracker

    def _state(self, method: str, factor: float) -> Path:
        return self.job(method, factor).key.state(self.identity(method, factor))

    def forget(self, method: str) -> None:
        """Remove the journals of the method's finished trials, if MLflow has all that they hold."""
        if self.given.tracking.enabled and tracking.deliver_pending(self.root) > 0:
            return
        anything = self.job(method, 1.0).key.state("*")
        for folder in anything.parent.glob(anything.name):
            if not (folder / CHECKPOINT).exists():
                shutil.rmtree(folder, ignore_errors=True)


def scaled(weights: dict[str, float], factor: float) -> dict[str, float]:
    """Every weight times the factor, to six digits; exactly the weights themselves at 1."""
    return {
        term: weight if factor == 1 else float(f"{weight * factor:.6g}") for term, weight in weights.items()
    }


def _open_study(dataset: str, name: str) -> "optuna.Study":
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(state_root() / "tuning" / dataset / "optuna.journal")))
    return optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)


def _finished(study: "optuna.Study") -> dict[float, float | None]:
    return {trial.params["factor"]: trial.value for trial in study.get_trials(deepcopy=False)}


def _add(study: "optuna.Study", factor: float, miou: float | None, *, largest: float) -> None:
    """Record a trial when it has ended: a killed process leaves nothing half done in the study."""
    import optuna

    range_ = optuna.distributions.FloatDistribution(1 / largest, largest, log=True)
    study.add_trial(
        optuna.create_trial(
            state=optuna.trial.TrialState.FAIL if miou is None else optuna.trial.TrialState.COMPLETE,
            value=miou,
            params={"factor": factor},
            distributions={"factor": range_},
        )
    )


def _chosen(search: _Search, method: str, found: list[tuple[float, float | None]], *, alone: float) -> Tuned:
    finished = {factor: miou for factor, miou in found if miou is not None}
    if not finished:
        raise UserError(f"{method}: every trial diverged; lower its weights in params.yaml")
    factor = best_factor(finished)
    params, job = search.params, search.job(method, factor)
    now = provenance_of(search.root, job.params, job.key)
    provenance = Provenance(
        factor=factor,
        miou=finished[factor],
        miou_given=finished.get(1.0),
        miou_alone=alone,
        split=_SPLIT,
        trials=len(found),
        diverged=len(found) - len(finished),
        range=params.tuning.factor,
        epochs=params.train.epochs,
        seed=params.tuning.seed,
        student=search.student,
        teacher_sha256=now.teacher or "",
        data_sha256=now.data,
        study=search.identity(method),
    )
    weights = cast(dict[str, float], job.block["weights"])
    return Tuned(weights=weights, provenance=provenance, block=search.given.methods[method].block)


def _write_trials(root: Path, dataset: str, method: str, found: Sequence[tuple[float, float | None]]) -> None:
    """Replace the method's rows of configs/tuned/<dataset>.csv; an empty mIoU is a diverged training."""
    path = root / tuned_path(dataset).with_suffix(".csv")
    rows: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["method"] != method]
    rows += [
        dict(zip(_COLUMNS, (method, number, factor, miou), strict=True))
        for number, (factor, miou) in enumerate(found, start=1)
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: (row["method"], int(row["trial"]))))
    write_bytes(path, text.getvalue().encode())


def _track(search: _Search, method: str, found: Provenance) -> None:
    """The parent run holds what was chosen, and the files."""
    params = search.given
    with tracking.open_parent(
        root=search.root, experiment=search.experiment, group=search.group, enabled=params.tracking.enabled
    ) as parent:
        parent.params({"tuning": params.tuning.model_dump(), "student": search.student})
        values = {"factor": found.factor, "miou": found.miou, "miou_alone": found.miou_alone}
        parent.log({f"{method}/{name}": value for name, value in values.items()}, step=found.trials)
        for suffix in (".yaml", ".csv"):
            parent.artifact(search.root / tuned_path(params.dataset).with_suffix(suffix))


def _summary(method: str, found: Provenance) -> str:
    given = "diverged" if found.miou_given is None else f"{100 * found.miou_given:.2f}"
    return (
        f"{method}: factor {found.factor:g} of {found.trials} trials, val mIoU {100 * found.miou:.2f} "
        f"(its own weights {given}, student alone {100 * found.miou_alone:.2f})"
    )
