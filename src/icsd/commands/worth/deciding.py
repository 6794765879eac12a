"""Trains one seed after another until every method has an answer, or the seeds or hours are used up."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from icsd.commands.worth.store import Trained
from icsd.errors import UserError
from icsd.reporting.results import ALONE
from icsd.reporting.statistics.sequential import FIRST, Standing, standing

Ending = Literal["decided", "seeds", "hours", "too few"]
"""Why no further seed was trained. ``too few``: the hours do not suffice for ``FIRST`` seeds, so none was."""


@dataclass(frozen=True)
class Question:
    """The question.

    Attributes:
        methods: The methods whose gains over the student alone are asked for.
        margin: Gain that a method must exceed, in percentage points of mIoU.
        max_seeds: Largest number of seeds.
        seconds: Limit for the training time, in seconds; None for no limit.
    """

    methods: Sequence[str]
    margin: float
    max_seeds: int
    seconds: float | None


@dataclass
class Findings:
    """The results after some seeds.

    Attributes:
        seconds_before: Seconds spent before the first training.
        rounds: For every seed, method -> training.
        standings: The standing, after the seeds so far, of each method that has not diverged.
        diverged: Method -> the seed with which it diverged; it is not trained again.
        ending: Why there is no further seed.
    """

    seconds_before: float
    rounds: list[dict[str, Trained]] = field(default_factory=list)
    standings: dict[str, Standing] = field(default_factory=dict)
    diverged: dict[str, int] = field(default_factory=dict)
    ending: Ending = "seeds"

    @property
    def seconds(self) -> float:
        """Total training time."""
        return self.seconds_before + sum(_seconds(each) for each in self.rounds)

    @property
    def decided(self) -> bool:
        """Whether every method has an answer; one that diverges is not worth it."""
        return bool(self.rounds) and all(each.answer != "open" for each in self.standings.values())


def decide(
    question: Question,
    seeds: Sequence[int],
    *,
    train: Callable[[str, int], Trained],
    is_finished: Callable[[str, int], bool],
    seconds_before: float,
    seconds_per_seed: float,
    on_seed: Callable[[Findings], None],
) -> Findings:
    """Train every method and the student alone with one seed after another.

    Args:
        question: The question.
        seeds: In their order, ``question.max_seeds`` or more.
        train: Method and seed -> the finished training.
        is_finished: Whether that takes no time, since it was trained before.
        seconds_before: Seconds already spent.
        seconds_per_seed: Estimate for the first seed; for later ones, the slowest seed so far is used.
        on_seed: Called after each seed.

    Raises:
        UserError: The student alone diverged.
    """
    found = Findings(seconds_before)
    all_methods = (ALONE, *question.methods)
    needed = [seed for seed in seeds[:FIRST] if not all(is_finished(name, seed) for name in all_methods)]
    if not _lasts(question, found, len(needed) * seconds_per_seed):
        found.ending = "too few"
        return found
    for seed in seeds[: question.max_seeds]:
        methods = [name for name in all_methods if name not in found.diverged]
        expected = max([_seconds(each) for each in found.rounds], default=seconds_per_seed)
        free = all(is_finished(method, seed) for method in methods)
        if not (free or _lasts(question, found, expected)):
            found.ending = "hours"
            return found
        found.rounds.append({method: train(method, seed) for method in methods})
        _take(question, found)
        on_seed(found)
        if found.decided:
            found.ending = "decided"
            return found
    return found


def gains_of(found: Findings, method: str) -> list[float]:
    """The method's difference to the student alone with every seed, in percentage points."""
    return [
        100 * (own - alone)
        for each in found.rounds
        if (own := each[method].miou) is not None and (alone := each[ALONE].miou) is not None
    ]


def _take(question: Question, found: Findings) -> None:
    latest = found.rounds[-1]
    if latest[ALONE].miou is None:
        raise UserError("the student alone diverged: lower train.lr, or set train.clip_norm")
    for method, training in latest.items():
        if training.miou is None:
            found.diverged[method] = training.seed
    found.standings = {
        method: standing(gains_of(found, method), margin=question.margin, num_methods=len(question.methods))
        for method in question.methods
        if method not in found.diverged
    }


def _lasts(question: Question, found: Findings, seconds: float) -> bool:
    return question.seconds is None or found.seconds + seconds <= question.seconds


def _seconds(trainings: Mapping[str, Trained]) -> float:
    return sum(each.seconds for each in trainings.values())
