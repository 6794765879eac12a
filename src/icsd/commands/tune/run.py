"""The command: searches the weights of one method after another, and writes weights and trials."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from icsd.commands.named_blocks import check_named
from icsd.commands.outdated_teacher import note_outdated_teacher
from icsd.commands.tune.factors import best_factor, factors
from icsd.commands.tune.recording import record_choice
from icsd.commands.tune.table import check_trials, write_trials
from icsd.commands.tune.trials import Trial, Trials, tuning_folder
from icsd.commands.validation_images import check_has_validation, check_validation_is_prepared
from icsd.data.prepared import VALIDATION
from icsd.errors import UserError
from icsd.files import check_writable, exclusive
from icsd.params import Params
from icsd.reporting.results import ALONE
from icsd.stages.chosen_weights import tunable
from icsd.stages.tuned_weights import Search, Tuned, read_tuned, tuned_path, write_tuned
from icsd.stages.validate import checked_params


def tune(root: Path, *, methods: Sequence[str], trials: int | None, student: str | None) -> None:
    """Search the weights of ``methods`` and merge them into configs/tuned/<dataset>.yaml.

    Finished trials are not repeated, and an interrupted one resumes, as long as nothing that determines them
    has changed.

    Args:
        root: The repository.
        methods: Blocks of params.yaml; empty for those of the grid.
        trials: Students per method; None for ``tuning.trials``.
        student: A block of ``networks.students``; None for the first of the grid.

    Raises:
        UserError: A method or student does not exist, or the search would not be fair.
    """
    params = checked_params(root, use_tuned=False)
    student = params.grid.students[0] if student is None else student
    methods = list(dict.fromkeys(methods)) or tunable(params)
    tuning = params.tuning.model_copy(update={"trials": params.tuning.trials if trials is None else trials})
    params = params.model_copy(update={"tuning": tuning})
    _refuse_unfair_search(root, params, methods=methods, student=student)
    search = Trials(root, params, student)
    for path in (search.table, root / tuned_path(params.dataset)):
        check_writable(path)
    check_trials(search.table)
    read_tuned(root, params.dataset)  # before the trials of hours, and again when something is added
    note_outdated_teacher(root, params)
    waiting = f"another process is tuning {params.dataset}"
    with exclusive(tuning_folder(params.dataset) / "lock", waiting=waiting):
        miou_alone = _train_alone(search)
        for method in methods:
            _tune_method(search, method, miou_alone=miou_alone)
        for method in (ALONE, *methods):
            search.forget(method)
    print(tuned_path(params.dataset), flush=True)


def _refuse_unfair_search(root: Path, params: Params, *, methods: Sequence[str], student: str) -> None:
    check_named(params, methods=methods, students=[student], lacking="weights to tune")
    if params.tuning.trials < 1:
        raise UserError(f"--trials: must be at least 1, got {params.tuning.trials}")
    if params.tuning.seed in params.grid.seeds:
        raise UserError(
            f"tuning.seed: {params.tuning.seed} is one of grid.seeds, which are reported; choose another"
        )
    check_has_validation(params)
    check_validation_is_prepared(root, params)


def _train_alone(search: Trials) -> float:
    """The validation mIoU of the student without a teacher, trained like every trial."""
    [(factor, miou)] = search.run(ALONE, [1.0])
    if miou is None:
        raise UserError("the student alone diverged: lower train.lr, or set train.clip_norm")
    write_trials(search.table, ALONE, [(factor, miou)])
    return miou


def _tune_method(search: Trials, method: str, *, miou_alone: float) -> None:
    root, params = search.root, search.params
    trials = search.run(method, factors(params.tuning.trials, params.tuning.factor))
    tuned = _choose(search, method, trials, miou_alone=miou_alone)
    write_trials(search.table, method, trials)
    write_tuned(root, params.dataset, {**read_tuned(root, params.dataset), method: tuned})
    record_choice(
        root, params, group=search.group, method=method, student=search.student, search=tuned.search
    )
    print(_summary(method, tuned.search), flush=True)


def _choose(search: Trials, method: str, trials: Sequence[Trial], *, miou_alone: float) -> Tuned:
    finished = {factor: miou for factor, miou in trials if miou is not None}
    if not finished:
        raise UserError(f"{method}: every trial diverged; lower its weights in params.yaml")
    factor = best_factor(finished)
    params, provenance = search.trained_params, search.provenance(method)
    assert provenance.teacher is not None  # every trial is a student
    how = Search(
        factor=factor,
        miou=finished[factor],
        miou_untuned=finished.get(1.0),
        miou_alone=miou_alone,
        split=VALIDATION,
        trials=len(trials),
        diverged=len(trials) - len(finished),
        range=params.tuning.factor,
        epochs=params.train.epochs,
        seed=params.tuning.seed,
        student=search.student,
        teacher_sha256=provenance.teacher,
        data_sha256=provenance.data,
        study=search.identity(method),
    )
    weights = cast(dict[str, float], search.job(method, factor).block["weights"])
    return Tuned(weights=weights, search=how, block=search.params.methods[method].block)


def _summary(method: str, search: Search) -> str:
    untuned = "diverged" if search.miou_untuned is None else f"{100 * search.miou_untuned:.2f}"
    return (
        f"{method}: factor {search.factor:g} of {search.trials} trials, val mIoU {100 * search.miou:.2f} "
        f"(its own weights {untuned}, student alone {100 * search.miou_alone:.2f})"
    )
