"""The command: checks the question, updates the teacher, trains seeds and prints the answer."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from itertools import count, islice
from math import isfinite
from pathlib import Path
from typing import Any

from icsd.commands.named_blocks import check_named
from icsd.commands.validation_images import check_has_validation, check_validation_is_prepared
from icsd.commands.worth.deciding import Findings, Question, decide, gains_of
from icsd.commands.worth.recording import record_standings, record_verdict
from icsd.commands.worth.store import Store, Trained, worth_folder
from icsd.commands.worth.teacher import bring_teacher_up_to_date, seconds_of_teacher
from icsd.commands.worth.trainings import Trainings
from icsd.commands.worth.verdict import Setting, Verdict, verdict
from icsd.errors import UserError
from icsd.files import check_writable, exclusive, write_json
from icsd.params import Params
from icsd.reporting.results import ALONE
from icsd.reporting.statistics.sequential import FIRST, LAST
from icsd.reporting.tables.cells import signed
from icsd.stages.chosen_weights import chosen_params
from icsd.stages.device import accelerator
from icsd.stages.validate import checked_params

METHODS = ("kd", "aicsd", "cwd", "dist")
"""KD, the paper's method, and two that did well on CamVid; all of them only read the teacher's logits."""
_WIDTH = 110


def worth(
    root: Path,
    *,
    methods: Sequence[str],
    student: str | None,
    margin: float | None,
    hours: float | None,
    max_seeds: int,
    out: Path | None,
) -> None:
    """Say whether distillation is worth it; continues the trainings of an earlier call.

    Args:
        root: The repository.
        methods: Blocks of params.yaml; empty for ``METHODS``.
        student: A block of ``networks.students``; None for the first of the grid.
        margin: Gain to exceed, in percentage points of mIoU; None for ``report.rope``.
        hours: Limit for the training time; None for no limit.
        max_seeds: Largest number of seeds.
        out: Where to write everything as JSON; None for nowhere.

    Raises:
        UserError: A method or student does not exist, there are no validation images, or no teacher.
    """
    params = checked_params(root, use_tuned=False)
    methods = list(dict.fromkeys(methods)) or [name for name in METHODS if name in params.methods]
    student = params.grid.students[0] if student is None else student
    _refuse_unanswerable(params, methods, student, max_seeds)
    if out is not None:
        check_writable(out)
    asked = Question(
        methods=methods,
        margin=params.report.rope if margin is None else margin,
        max_seeds=max_seeds,
        seconds=None if hours is None else 3600 * hours,
    )
    compared = params.grid.model_copy(update={"baselines": [ALONE, *methods], "distilled": []})
    params = chosen_params(root, params.model_copy(update={"grid": compared}))
    seeds = _seeds(params)
    folder = worth_folder(params.dataset)
    with exclusive(folder / "lock", waiting=f"another process asks whether {params.dataset} is worth it"):
        store = Store(folder)  # a teacher takes hours, so everything else is checked before
        bring_teacher_up_to_date(root)
        check_validation_is_prepared(root, params)
        trainings = Trainings(root, params, methods, student, seeds[0], store)
        found, per_seed = _find(asked, seeds, trainings)
        setting = Setting(
            params=params,
            student=student,
            device="GPU" if accelerator(params.runtime) == "cuda" else "CPU",
            seconds_per_seed=per_seed,
            seconds_of_teacher=seconds_of_teacher(root, params),
        )
        answer = verdict(asked, found, setting)
        words = {
            "methods": methods,
            "student": student,
            "margin": asked.margin,
            "max_seeds": max_seeds,
            "hours": hours,
        }
        if found.rounds:
            record_verdict(
                root,
                params,
                group=trainings.group,
                asked=words,
                verdict=answer.answer,
                paragraph=answer.paragraph,
            )
        trainings.forget()
    print(
        f"\n{textwrap.fill(answer.paragraph, _WIDTH, break_on_hyphens=False)}\nNext: {answer.command}",
        flush=True,
    )
    if out is not None:
        write_json(out, {"dataset": params.dataset, **words, **_content(answer, found, trainings)})
        print(out, flush=True)


def _refuse_unanswerable(params: Params, methods: Sequence[str], student: str, max_seeds: int) -> None:
    if not methods:
        raise UserError(f"none of {', '.join(METHODS)} has a block in params.yaml; name the methods to try")
    lacking = "weights, so nothing is distilled"
    check_named(params, methods=methods, students=[student], lacking=lacking)
    if not FIRST <= max_seeds <= LAST:
        raise UserError(f"--max-seeds: must be between {FIRST} and {LAST}, got {max_seeds}")
    check_has_validation(params)


def _seeds(params: Params) -> list[int]:
    """Seeds that are neither in the grid nor used for tuning, in order."""
    taken = {params.tuning.seed, *params.grid.seeds}
    return list(islice((seed for seed in count(params.tuning.seed + 1) if seed not in taken), LAST))


def _find(asked: Question, seeds: Sequence[int], trainings: Trainings) -> tuple[Findings, float]:
    """The findings, and the seconds that one seed of all methods takes."""
    all_methods = trainings.all_methods
    foretold = sum(trainings.costs[method] * trainings.epochs(method) for method in all_methods)
    _foretell(asked, trainings, foretold)

    def train(method: str, seed: int) -> Trained:
        number = all_methods.index(method) + 1
        again = "" if trainings.finished(method, seed) is None else ", trained before"
        print(
            f"seed {seed} ({seeds.index(seed) + 1} of at most {asked.max_seeds}), "
            f"training {number} of {len(all_methods)}: {method}{again}",
            flush=True,
        )
        return trainings.train(method, seed)

    def on_seed(found: Findings) -> None:
        print(_line(found), flush=True)
        record_standings(trainings.root, trainings.params, group=trainings.group, standings=found.standings)

    found = decide(
        asked,
        seeds,
        train=train,
        is_finished=lambda method, seed: trainings.finished(method, seed) is not None,
        seconds_before=trainings.seconds_of_rehearsal,
        seconds_per_seed=foretold,
        on_seed=on_seed,
    )
    measured = (found.seconds - found.seconds_before) / len(found.rounds) if found.rounds else foretold
    return found, measured


def _foretell(asked: Question, trainings: Trainings, seconds_per_seed: float) -> None:
    """Print what an epoch costs, how many epochs every method gets, and how many seeds the hours allow."""
    costs = trainings.costs
    for method in trainings.all_methods:
        relative = "" if method == ALONE else f", {costs[method] / costs[ALONE]:.2f} times as long"
        print(
            f"{method}: {costs[method]:.2f} s an epoch{relative}: {trainings.epochs(method)} epochs",
            flush=True,
        )
    line = (
        f"a seed is {len(costs)} trainings, {seconds_per_seed / 60:.1f} minutes; "
        f"from {FIRST} seeds, {FIRST * seconds_per_seed / 3600:.2f} hours, to {asked.max_seeds}, "
        f"{asked.max_seeds * seconds_per_seed / 3600:.2f} hours"
    )
    if asked.seconds is not None:
        seeds = max(0, int((asked.seconds - trainings.seconds_of_rehearsal) // seconds_per_seed))
        line += f"; {asked.seconds / 3600:g} hours allow {min(asked.max_seeds, seeds)}"
    print(line, flush=True)


def _line(found: Findings) -> str:
    parts = [f"{name} diverged" for name in found.diverged]
    for name, each in found.standings.items():
        span = f" ({signed(each.low)} to {signed(each.high)})" if isfinite(each.low) else ""
        parts.append(f"{name} {signed(each.mean)}{span} {each.answer}")
    seeds = len(found.rounds)
    return f"after {seeds} seed{'s' if seeds > 1 else ''}: {', '.join(parts)}"


def _content(answer: Verdict, found: Findings, trainings: Trainings) -> dict[str, Any]:
    """Everything behind the answer, as JSON values; infinite numbers are null."""
    standings = {
        name: {
            key: value if not isinstance(value, float) or isfinite(value) else None
            for key, value in asdict(each).items()
        }
        | {"gains": gains_of(found, name)}
        for name, each in found.standings.items()
    }
    return {
        **asdict(answer),
        "ending": found.ending,
        "gains": standings,
        "diverged": found.diverged,
        "seconds": found.seconds,
        "seconds_of_an_epoch": dict(trainings.costs),
        "trainings": [each.model_dump(mode="json") for one in found.rounds for each in one.values()],
    }
