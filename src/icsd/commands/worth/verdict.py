"""The answer in a paragraph: worth it or not, by how much, how surely, at what cost, and what to run next."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from icsd.commands.worth.deciding import Findings, Question
from icsd.params import Params
from icsd.reporting.results import ALONE
from icsd.reporting.statistics.decisions import seeds_for
from icsd.reporting.statistics.estimates import LEVEL
from icsd.reporting.statistics.sequential import FIRST, LAST, Standing, seeds_to_decide
from icsd.reporting.style import method_label, network_label
from icsd.reporting.tables.cells import signed

Answer = Literal["worth it", "not worth it", "undecided"]
PROGRAM = "python -m pipeline worth"


@dataclass(frozen=True)
class Verdict:
    """The answer.

    Attributes:
        answer: The answer in short.
        method: The method with the highest gain, among those that are worth it, or else among all.
        paragraph: The answer in words.
        command: What to run next.
    """

    answer: Answer
    method: str | None
    paragraph: str
    command: str


@dataclass(frozen=True)
class Setting:
    """The conditions under which a question was asked.

    Attributes:
        params: The parameter tree.
        student: The students' network.
        device: ``CPU`` or ``GPU``.
        seconds_per_seed: Seconds that one seed of all methods takes.
        seconds_of_teacher: Duration of the teacher's training; None if it was not trained here.
    """

    params: Params
    student: str
    device: str
    seconds_per_seed: float
    seconds_of_teacher: float | None


def verdict(question: Question, found: Findings, setting: Setting) -> Verdict:
    """The answer to a question."""
    if found.ending == "too few":
        return _too_few(question, found, setting)
    ranked = sorted(found.standings, key=lambda name: found.standings[name].mean, reverse=True)
    worth = [name for name in ranked if found.standings[name].answer == "worth"]
    open_ones = [name for name in ranked if found.standings[name].answer == "open"]
    best = next(iter(worth or ranked), None)
    answer: Answer = "worth it" if worth else "undecided" if open_ones else "not worth it"
    command = (
        _grid(setting, best, found.standings[best])
        if worth and best
        else _more(question, found, setting, open_ones)
        if open_ones
        else _alone(setting)
    )
    sentences = [
        _headline(answer, question, found, setting, best),
        *_others(found, [name for name in ranked if name != best]),
        _ending(question, found),
        _cost(found, setting),
    ]
    return Verdict(answer, best, " ".join(each for each in sentences if each), command)


def _headline(answer: Answer, question: Question, found: Findings, setting: Setting, best: str | None) -> str:
    student, dataset = network_label(setting.student), setting.params.dataset
    if best is None:
        return f"Not worth it: every method diverged on {dataset}."
    each, first = found.standings[best], found.rounds[0]
    what = (
        f"in the time of {first[ALONE].epochs} epochs of {student} alone, {method_label(best)} "
        f"({first[best].epochs} epochs) gains {_gain(each)} on the validation split of {dataset}, with "
        f"{each.n} seeds."
    )
    more = f"more than {question.margin:g} points"
    if answer == "worth it":
        return f"Worth it: {what} A gain of {more} is {_percent(each.surely_above)} sure."
    if answer == "undecided":
        return f"Undecided whether any method gains {more}: {what}"
    least = min(one.surely_below for one in found.standings.values())
    return f"Not worth it: {what} No method gains {more}; that is {_percent(least)} sure."


def _others(found: Findings, names: Sequence[str]) -> list[str]:
    answers = {"worth": "worth it", "not worth": "not worth it", "open": "undecided"}
    each = [
        f"{method_label(name)} {_gain(found.standings[name])}, {answers[found.standings[name].answer]}"
        for name in names
    ]
    each += [f"{method_label(name)} diverged with seed {seed}" for name, seed in found.diverged.items()]
    return [f"The others: {'; '.join(each)}."] if each else []


def _ending(question: Question, found: Findings) -> str:
    note = "Intervals hold for all methods and for a look after every seed, 5 % on either side."
    if found.ending == "hours":
        return f"The hours are spent. {note}"
    return f"The {question.max_seeds} seeds are trained. {note}" if found.ending == "seeds" else note


def _cost(found: Findings, setting: Setting) -> str:
    trainings = sum(len(each) for each in found.rounds)
    teacher = setting.seconds_of_teacher
    own = "" if teacher is None else f", and its teacher {_hours(teacher)} before"
    return f"It took {_hours(found.seconds)} {setting.device} hours for {trainings} trainings{own}."


def _too_few(question: Question, found: Findings, setting: Setting) -> Verdict:
    assert question.seconds is not None
    left = max(0.0, question.seconds - found.seconds)
    seeds = int(left // setting.seconds_per_seed)
    allowed = "1 seed" if seeds == 1 else f"{seeds} seeds"
    paragraph = (
        f"Undecided: {question.seconds / 3600:g} hours allow {allowed} of {len(question.methods) + 1} "
        f"trainings ({setting.seconds_per_seed / 60:.1f} minutes), and fewer than {FIRST} decide nothing, so "
        "nothing was trained but the rehearsal."
    )
    hours = _enough(found.seconds_before + FIRST * setting.seconds_per_seed)
    return Verdict("undecided", None, paragraph, _again(question, setting, hours=hours))


def _more(question: Question, found: Findings, setting: Setting, open_ones: Sequence[str]) -> str:
    """A call with more seeds; or the grid, if ``LAST`` seeds are trained already."""
    needed = [
        seeds_to_decide(each.mean - question.margin, each.std or 0.0, num_methods=len(question.methods))
        for name in open_ones
        if (each := found.standings[name])
    ]
    trained = len(found.rounds)
    if trained >= LAST:
        best = open_ones[0]
        return _grid(setting, best, found.standings[best])
    seeds = min(LAST, max(trained + 1, *(each or LAST for each in needed)))
    hours = None
    if question.seconds is not None:
        hours = _enough(found.seconds + (seeds - trained) * setting.seconds_per_seed)
    return _again(question, setting, hours=hours, seeds=max(seeds, question.max_seeds))


def _again(question: Question, setting: Setting, *, hours: float | None, seeds: int | None = None) -> str:
    words = [PROGRAM, *question.methods, "--student", setting.student, f"--margin {question.margin:g}"]
    words += [] if hours is None else [f"--hours {hours:g}"]
    words += [f"--max-seeds {question.max_seeds if seeds is None else seeds}"]
    return " ".join(words)


def _grid(setting: Setting, method: str, each: Standing) -> str:
    """The grid of the method and the student alone, with enough seeds to establish this gain in a report.

    Not more than ``LAST``: a gain that these seeds left undecided may be zero, for which no number is enough.
    """
    needed = seeds_for(each.mean, each.std or 0.0, (0.0, 1), LEVEL) or LAST
    seeds = range(min(LAST, max(FIRST, needed)))
    under_alw = bool(setting.params.methods[method].alw)
    return _experiment(
        students=[setting.student],
        baselines=[ALONE] if under_alw else [ALONE, method],
        distilled=[method] if under_alw else [],
        seeds=seeds,
    )


def _alone(setting: Setting) -> str:
    return _experiment(students=[setting.student], baselines=[ALONE], distilled=[], seeds=range(FIRST))


def _experiment(**grid: Sequence[object]) -> str:
    options = [f"-S {shlex.quote(f'grid.{key}=[{_joined(values)}]')}" for key, values in grid.items()]
    return " ".join(["dvc exp run", *options])


def _joined(values: Sequence[object]) -> str:
    return ",".join(map(str, values))


def _gain(each: Standing) -> str:
    if each.std is None or not abs(each.low) < float("inf"):
        return f"{signed(each.mean)} points"
    return f"{signed(each.mean)} points ({signed(each.low)} to {signed(each.high)})"


def _percent(share: float) -> str:
    """Whole percent, rounded down so that no certainty is overstated."""
    return f"{int(100 * share + 1e-9)} %"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f}"


def _enough(seconds: float) -> float:
    """Hours plus a tenth, rounded up to two decimals."""
    return ceil(110 * seconds / 3600) / 100
